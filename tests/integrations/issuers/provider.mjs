// A real OpenID provider for tests: node provider.mjs PORT; says "listening" once it does. It logs anybody in.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(`${process.env.NPM_FOLDER}/`)
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')))
const port = Number(process.argv[2])
const scope = 'tasks:read tasks:create state:read state:write'
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: 'bot',
      client_secret: 'bot-secret-which-is-long-enough',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    },
    {
      client_id: 'desktop',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['http://127.0.0.1:9/callback'],
    },
  ],
  scopes: ['openid', 'offline_access', ...scope.split(' ')],
  cookies: { keys: ['test'] },
  pkce: { required: () => true },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (_, token) => (token.accountId ? { groups: ['ops'] } : {}),
  features: {
    clientCredentials: { enabled: true },
    registration: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope,
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
      }),
    },
  },
})
provider.listen(port, '127.0.0.1', () => console.log('listening'))
