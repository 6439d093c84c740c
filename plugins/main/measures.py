"""What operators see of logins."""

from __future__ import annotations

from dataclasses import dataclass

from credit_system import Instrument, Metric, MetricKind, PluginContext

LOGINS = Metric("credit_logins_total", MetricKind.COUNTER, "Attempts to log in", ("outcome",))
TOKENS_REUSED = Metric(
    "credit_tokens_reused_total", MetricKind.COUNTER, "Retired refresh tokens shown again: likely theft"
)


@dataclass(frozen=True, slots=True)
class Measures:
    logins: Instrument
    """By outcome: `success`, `rejected` or `limited`."""
    tokens_reused: Instrument

    @staticmethod
    def register(context: PluginContext) -> Measures:
        return Measures(
            logins=context.register_metric(LOGINS), tokens_reused=context.register_metric(TOKENS_REUSED)
        )
