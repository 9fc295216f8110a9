// Parses TraceQL and LogQL by the grammars that Grafana publishes, and says where a query is broken.
//
//     node check.mjs FOLDER <queries.json
//
// FOLDER has the grammars in its node_modules. In: [{"language": "traceql" or "logql", "query": "..."}]. Out: for each, in
// the same order, the places that are no part of the language, as [from, to] in UTF-16 units; an empty list is a sound query.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const installed = createRequire(join(resolve(process.argv[2]), "package.json"));
const parsers = {
  traceql: installed("@grafana/lezer-traceql").parser,
  logql: installed("@grafana/lezer-logql").parser,
};

// The parsers recover from errors, so nothing is thrown: what they had to skip or to invent is marked in the tree.
function errors({ language, query }) {
  const found = [];
  parsers[language].parse(query).iterate({
    enter(node) {
      if (node.type.isError) found.push([node.from, node.to]);
    },
  });
  return found;
}

const queries = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(queries.map(errors)));
