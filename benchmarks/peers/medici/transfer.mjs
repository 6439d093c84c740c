// Medici by its README, "ACID checks of an account balance": a withdraw with the writelock last.
// The same protocol as benchmarks/rounds.py. Majority and journal, as for everybody.
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";

// Installed outside of this folder: the working directory is where node_modules stands.
const require = createRequire(path.join(process.cwd(), "package.json"));
const mongoose = require("mongoose");
const { Book, initModels, mongoTransaction } = require("medici");

const EACH = 1e12;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");
const versionOf = (name) => require(`${name}/package.json`).version;

const config = JSON.parse((await lines.next()).value);
await mongoose.connect(config.mongo_url, {
  user: config.user,
  pass: config.password,
  authSource: "admin",
  // The server is new, and each scenario has a database of its own: nothing stands there yet.
  dbName: `peer_medici_${config.hot ? "hot" : "many"}`,
  maxPoolSize: config.callers,
  writeConcern: { w: "majority", j: true },
});
await initModels();
const mainLedger = new Book("mainLedger");

for (let account = 0; account < config.accounts; account += 1) {
  await mainLedger.entry("Deposit").credit(`Accounts:${account}`, EACH).debit("Assets", EACH).commit();
  if (!config.hot || account === 0) await mainLedger.balance({ account: `Accounts:${account}` });
}

async function withdraw(walletId, amount) {
  return mongoTransaction(async (session) => {
    await mainLedger
      .entry("Withdraw by User")
      .credit("Assets", amount)
      .debit(`Accounts:${walletId}`, amount)
      .commit({ session });
    const balanceAfter = await mainLedger.balance({ account: `Accounts:${walletId}` }, { session });
    if (balanceAfter.balance < 0) throw new Error("Not enough balance in wallet.");
    await mainLedger.writelockAccounts([`Accounts:${walletId}`], { session });
  });
}

async function round(seconds) {
  const latencies = [];
  const began = performance.now();
  const ends = began + seconds * 1000;
  await Promise.all(
    Array.from({ length: config.callers }, async () => {
      for (let now = performance.now(); now < ends; ) {
        await withdraw(config.hot ? 0 : Math.floor(Math.random() * config.accounts), 5);
        const before = now;
        now = performance.now();
        latencies.push(now - before);
      }
    }),
  );
  const took = (performance.now() - began) / 1000;
  latencies.sort((a, b) => a - b);
  const percentile = (share) => latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))] ?? 0;
  return { per_second: latencies.length / took, p50_ms: percentile(0.5), p99_ms: percentile(0.99) };
}

say({ versions: { medici: versionOf("medici"), mongoose: versionOf("mongoose"), node: process.versions.node } });
for await (const line of lines) say(await round(JSON.parse(line).seconds));
await mongoose.disconnect();
