// Makes the service's database ready: three roles and their users, collections with validators, indexes.
//
//   mongosh "mongodb://root@host/?replicaSet=rs0&tls=true" --file init-scripts/mongodb-init.js
//
// Run it as a user who may manage users and collections (`root`, or `userAdminAnyDatabase` with `dbAdmin` of the
// database). It may be run again at any time: what stands as it should is left alone, what differs is changed, an
// index that stands otherwise is named and the script ends with 1. Always with `--file`: a script on standard input
// ends with 0 in spite of an error.
//
// Environment:
//   MONGODB_USER_FILE, MONGODB_PASSWORD_FILE                       who reads and writes
//   MONGODB_ANALYTICS_USER_FILE, MONGODB_ANALYTICS_PASSWORD_FILE   who reads
//   MONGODB_ADMIN_USER_FILE, MONGODB_ADMIN_PASSWORD_FILE           who makes indexes, and removes
//       each the path of a file whose text, without one line end, is the value; where one is not set, the file is
//       mongodb_user, mongodb_password, … in CREDIT_SECRETS_DIR (`secrets`), as for the service
//   MONGO_INITDB_DATABASE        the service's database (credit_system)
//   MONGODB_PLUGIN_COLLECTIONS   plugins' collections that no worker has made yet, as `shop.orders,shop.carts`
//
// What it makes is listed in database.json beside it, printed from what the service itself declares.

"use strict";

const fs = require("fs");
const path = require("path");

const DEFINITION = JSON.parse(fs.readFileSync(path.join(__dirname, "database.json"), "utf8"));
const SECRETS = process.env.CREDIT_SECRETS_DIR || "secrets";
const DATABASE = process.env.MONGO_INITDB_DATABASE || "credit_system";
const PLUGIN = "plugin.";
const MOVING = "_moving";
const RENAMINGS_MAX = 20;
const USERS = [
  ["credit_read_write", "mongodb_user", "mongodb_password"],
  ["credit_read_only", "mongodb_analytics_user", "mongodb_analytics_password"],
  ["credit_admin", "mongodb_admin_user", "mongodb_admin_password"],
];

const service = db.getSiblingDB(DATABASE);
const accounts = db.getSiblingDB("admin");

function secret(name) {
  const variable = `${name.toUpperCase()}_FILE`;
  const file = process.env[variable] || process.env[`CREDIT_${variable}`] || path.join(SECRETS, name);
  const value = fs.readFileSync(file, "utf8").replace(/\r?\n$/, "");
  if (value === "") throw new Error(`${file} is empty`);
  return value;
}

function standing() {
  return new Map(service.getCollectionInfos().map((each) => [each.name, each]));
}

function pluginCollections() {
  const named = (process.env.MONGODB_PLUGIN_COLLECTIONS || "").split(",").map((name) => name.trim());
  const made = [...standing().keys()].filter((name) => name.startsWith(PLUGIN));
  return [...new Set([...named.filter(Boolean).map((name) => PLUGIN + name), ...made])].sort();
}

function makeRole(name, definition, plugins, withheld) {
  const on = (collection, actions) => ({ resource: { db: DATABASE, collection }, actions });
  const named = Object.entries(definition.collections).filter(([collection]) => !withheld.includes(collection));
  const privileges = [
    ...(definition.database.length ? [on("", definition.database)] : []),
    ...named.map(([collection, actions]) => on(collection, actions)),
    ...plugins.map((collection) => on(collection, definition.plugins)),
  ];
  if (service.getRole(name) === null) {
    service.createRole({ role: name, privileges, roles: [] });
  } else {
    service.updateRole(name, { privileges, roles: [] });
  }
}

function makeUser(role, userFile, passwordFile) {
  const user = secret(userFile);
  const as = { pwd: secret(passwordFile), roles: [{ role, db: DATABASE }] };
  if (accounts.getUser(user) === null) {
    accounts.createUser({ user, ...as });
  } else {
    accounts.updateUser(user, as);
  }
}

function makeCollection(name, definition, found) {
  // `moderate`: documents that an earlier release has written otherwise can still be changed.
  const rules = { validator: definition.validator, validationLevel: "moderate", validationAction: "error" };
  if (found === undefined) {
    service.createCollection(name, rules);
    return;
  }
  const same = Object.keys(rules).every((rule) => EJSON.stringify(found.options[rule]) === EJSON.stringify(rules[rule]));
  if (!same) service.runCommand({ collMod: name, ...rules });
}

function makeIndexes(name, indexes) {
  const problems = [];
  for (const index of indexes) {
    try {
      service.runCommand({ createIndexes: name, indexes: [index] });
    } catch (error) {
      problems.push(`${name}.${index.name}: ${error.codeName || error.message}`);
    }
  }
  return problems;
}

function makeRoles(plugins, withheld) {
  for (const [name, definition] of Object.entries(DEFINITION.roles)) makeRole(name, definition, plugins, withheld);
}

// Collections that had other names in earlier releases get their own, and leave a view under the earlier one. Every right
// to the earlier name is taken away first: from then on nothing is written there, and what is read is refused and not
// empty, until the view stands. Workers of this release follow; those of earlier ones are refused what they write, and
// read through the view. Stopped at any point, the script goes on from there when it is run again.
function renameCollections(plugins) {
  const found = standing();
  const unsettled = ([, old]) => found.get(old)?.type !== "view" || found.has(`${old}${MOVING}`);
  const renamed = Object.entries(DEFINITION.renamed).filter(unsettled);
  if (renamed.length === 0) return;
  makeRoles(plugins, renamed.map(([, old]) => old));
  for (const user of USERS) makeUser(...user);
  for (const [name, old] of renamed) renameCollection(name, old);
}

function isCollection(name) {
  return standing().get(name)?.type === "collection";
}

function renameCollection(name, old) {
  for (let attempt = 0; attempt < RENAMINGS_MAX; attempt += 1) {
    const moving = `${old}${MOVING}`;
    if (isCollection(old)) {
      // Where both stand, a user whom this script does not know has written under the earlier name since.
      if (!isCollection(name)) service.getCollection(old).renameCollection(name);
      else if (!isCollection(moving)) service.getCollection(old).renameCollection(moving);
    }
    if (isCollection(moving)) {
      const into = { into: name, on: "_id", whenMatched: "keepExisting", whenNotMatched: "insert" };
      service.getCollection(moving).aggregate([{ $merge: into }], { bypassDocumentValidation: true });
      service.getCollection(moving).drop();
    }
    try {
      service.createView(old, name, []);
      return;
    } catch (error) {
      if (error.codeName !== "NamespaceExists") throw error;
    }
  }
  throw new Error(`${old} is written to again and again: stop the workers of earlier releases`);
}

function makeDatabase() {
  const plugins = pluginCollections();
  renameCollections(plugins);
  const before = standing();
  const problems = [];
  for (const [name, definition] of Object.entries(DEFINITION.collections)) {
    makeCollection(name, definition, before.get(name));
    problems.push(...makeIndexes(name, definition.indexes));
  }
  makeRoles(plugins, []);
  for (const user of USERS) makeUser(...user);
  if (problems.length) throw new Error(`indexes that could not be made: ${problems.join("; ")}`);
  print(`${DATABASE}: ${Object.keys(DEFINITION.collections).length} collections, three roles and their users`);
}

makeDatabase();
