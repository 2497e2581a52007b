// An OpenID Connect provider that is not ours, for tests/api/oidc.rs:
//
//     node provider.mjs NODE_MODULES PORT KEYS
//
// Its two clients, ada and bob (secret: "secret"), get JWT access tokens for the resource that
// they ask for, ada's signed with ES256 and bob's with RS256. The keys are kept in the file KEYS.

import { generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, port, keysFile] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(join(modules, "oidc-provider/lib/index.js")));

function keys() {
  if (!existsSync(keysFile)) {
    const jwk = (pair, rest) => ({ ...pair.privateKey.export({ format: "jwk" }), use: "sig", ...rest });
    const ec = jwk(generateKeyPairSync("ec", { namedCurve: "P-256" }), { kid: "ec", alg: "ES256" });
    const rsa = jwk(generateKeyPairSync("rsa", { modulusLength: 2048 }), { kid: "rsa", alg: "RS256" });
    writeFileSync(keysFile, JSON.stringify([rsa, ec]));
  }
  return JSON.parse(readFileSync(keysFile, "utf8"));
}

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: ["ada", "bob"].map((client_id) => ({
    client_id,
    client_secret: "secret",
    grant_types: ["client_credentials"],
    response_types: [],
    redirect_uris: [],
  })),
  cookies: { keys: ["of the tests"] },
  jwks: { keys: keys() },
  scopes: ["threads:read", "threads:write"],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: (_, resource, client) => ({
        scope: "threads:read threads:write",
        audience: resource,
        accessTokenTTL: 300,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: client.clientId === "ada" ? "ES256" : "RS256" } },
      }),
    },
  },
});

provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
