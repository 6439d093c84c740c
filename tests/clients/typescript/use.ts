// What a product writes against the types that openapi-typescript makes. It is compiled, not run; each line
// below `@ts-expect-error` must be an error, so types that allow anything do not pass.
import type { components, paths } from "./api";

type Schemas = components["schemas"];
type Answer<Path extends keyof paths, Method extends keyof paths[Path], Status extends number> =
  paths[Path][Method] extends { responses: infer Responses }
    ? Status extends keyof Responses
      ? Responses[Status] extends { content: { "application/json": infer Body } }
        ? Body
        : never
      : never
    : never;

declare function send<T>(body: unknown): T;

// A body needs only what has no default, and takes metadata of any form.
const least: Schemas["TransferBody"] = { source: "ada", amount: 250, code: "purchase" };
const most: Schemas["TransferBody"] = {
  ...least,
  id: null,
  destination: "@revenue",
  metadata: { order: 1, lines: [{ sku: "a" }], note: null },
  dry_run: true,
};
const grant: Schemas["GrantBody"] = { account: "ada", amount: 1000, category: "paid" };
// @ts-expect-error: a choice that is sent is one of those that are known
const wrong: Schemas["GrantBody"] = { account: "ada", amount: 1000, category: "free" };
// @ts-expect-error: an amount is a number
const text: Schemas["TransferBody"] = { source: "ada", amount: "250", code: "purchase" };

// A transfer has been posted; a dry run has not. The status tells them apart.
const posted = send<Answer<"/credits/transfers", "post", 201>>(most);
const id: string = posted.id;
const seq: number = posted.seq;
const noted: unknown = posted.metadata["order"];
const dry = send<Answer<"/credits/transfers", "post", 200>>({ ...most, dry_run: true });
const nowhere: number | null = dry.seq;
// @ts-expect-error: a dry run has no place in the journal
const somewhere: number = dry.seq;

// A balance can be null only in what was asked for with `?at=`.
const opened = send<Answer<"/credits/accounts", "post", 201>>({ asset: "GEMS" });
const available: number = opened.available;
const shown = send<Answer<"/credits/accounts/{account_id}", "get", 200>>(null);
const spendable: number | null = "at" in shown ? shown.available : shown.available + 0;
const first: Schemas["AccountGrant"] | undefined = opened.grants[0];
const until: string | null | undefined = first?.expires_at;

// What may grow is a string; a list ends with a null cursor.
const status: string = send<Answer<"/credits/holds/{hold_id}", "get", 200>>(null).status;
const page = send<Answer<"/credits/accounts/{account_id}/entries", "get", 200>>(null);
const amounts: number[] = page.items.map((entry) => entry.amount);
const cursor: string | null = page.next_cursor;
const codes: (string | undefined)[] = send<Answer<"/credits/transfers/batch", "post", 200>>(null).results.map(
  (result) => result.code,
);
const limits: paths["/admin/limits/{type}/{identifier}"]["get"]["parameters"]["path"] = {
  type: "ip",
  identifier: "192.0.2.1",
};

// A refusal is the same everywhere.
type Refusal = components["responses"]["Problem"]["content"]["application/problem+json"];
const refusal = send<Refusal>(null);
const why: string = `${refusal.status} ${refusal.code} ${refusal.field ?? ""}`;
const each: string[] = (refusal.errors ?? []).map((error) => `${error.field}: ${error.detail}`);

export {
  amounts, available, codes, cursor, each, grant, id, limits, noted, nowhere, seq, somewhere, spendable,
  status, text, until, why, wrong,
};
