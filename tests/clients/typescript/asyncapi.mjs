// Prints what @asyncapi/parser has to say of the document that is named, one line a finding.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const require = createRequire(`${process.argv[2]}/`);
const { Parser } = require("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[3], "utf8"));
for (const { severity, code, message, path } of diagnostics) {
  console.log(`${severity} ${code} ${path.join(".")}: ${message}`);
}
console.log(document === undefined ? "unreadable" : `messages: ${document.allMessages().length}`);
