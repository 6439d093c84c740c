"""The page at `/docs`: `index.html`, `page.css` and `start.js` are ours.

The others are Swagger UI 5.35.0 as published: npm `swagger-ui-dist`, under the Apache License 2.0
(`LICENSE`, `NOTICE`, and `swagger-ui-bundle.js.LICENSE.txt` for what it is made of), with the integrity
sha512-U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==.
`tests/adapters/web/test_docs_page.py` holds their digests.
"""

from __future__ import annotations
