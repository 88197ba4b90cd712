import { isTenantName, type Scope } from '@mayfly/contracts';
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify';
import { gatewayError, notFound } from '../errors.js';
import { matchesPattern, type Principal } from '../tenants/principal.js';

/** What a route wants of a key: one scope; `any` key of a tenant; an operator's key. */
export type RouteScope = Scope | 'any' | 'operator';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who makes the request; set on every route behind `requireKey`. */
    principal: Principal;
    /** The tenant that the request acts for; empty for an operator who acts for none. */
    tenant: string;
  }
  interface FastifyContextConfig {
    /** What a key must be able to do for this route. Required on each: one without a rule does not start. */
    scope?: RouteScope;
    /**
     * How a key's function-name pattern is kept. Absent: by the function that path or body name, and a route that
     * names none refuses such a key. `handler`: the handler keeps it, by `mayTouch`. `none`: the route is about no
     * function.
     */
    pattern?: 'handler' | 'none';
  }
}

export interface Authenticator {
  /**
   * Who shows this bearer token; undefined for nobody. Answers at once where it can.
   * @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE when that cannot be known now
   */
  identify(token: string): Principal | undefined | Promise<Principal | undefined>;
}

/** Whether a request's key may touch a function of its tenant. */
export function mayTouch({ principal }: FastifyRequest, functionName: string): boolean {
  return matchesPattern(principal.functionPattern, functionName);
}

export interface KeyRules {
  readonly authenticator: Authenticator;
  /** An operator reads what is a tenant's. */
  readonly onOperatorRead: (request: FastifyRequest) => Promise<void>;
}

const NOBODY: Principal = { kind: 'tenant', keyId: '', tenant: '', scopes: [] };

/**
 * Every route of this scope wants `Authorization: Bearer <key>` and names what the key must be able to do.
 * @throws when a route names nothing: a missing rule must not be an open door
 */
export function requireKey(scope: FastifyInstance, { authenticator, onOperatorRead }: KeyRules): void {
  scope.decorateRequest('principal', undefined as unknown as Principal);
  scope.addHook('onRoute', checkRule);
  scope.addHook('onRequest', (request, _reply, done) => {
    request.principal = NOBODY;
    const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const found = authenticator.identify(token);
    if (found instanceof Promise || found?.kind === 'operator') enterSlowly(request, found).then(done, done);
    else done(enter(request, found));
  });
  const enterSlowly = async (
    request: FastifyRequest,
    found: Principal | Promise<Principal | undefined>,
  ): Promise<Error | undefined> => {
    const fault = enter(request, await found);
    const { kind } = request.principal;
    // On record before it is answered.
    if (fault === undefined && kind === 'operator' && request.tenant !== '' && isRead(request))
      await onOperatorRead(request);
    return fault;
  };
  scope.addHook('preHandler', (request, _reply, done) => {
    done(request.principal.functionPattern === undefined ? undefined : patternFault(request));
  });
}

function checkRule({ config, method, url }: RouteOptions): void {
  if (config?.scope !== undefined) return;
  throw gatewayError('MAYFLY_ERR_GATEWAY_CONFIG', `${String(method)} ${url} names no scope`);
}

/** Makes the request that of its principal. @returns why it may not be made. */
function enter(request: FastifyRequest, principal: Principal | undefined): Error | undefined {
  if (principal === undefined)
    return gatewayError('MAYFLY_ERR_GATEWAY_UNAUTHORIZED', 'expected Authorization: Bearer <key>');
  request.principal = principal;
  request.tenant = principal.tenant;
  const { scope } = request.routeOptions.config;
  if (scope === undefined) return undefined;
  return principal.kind === 'operator' ? operatorFault(request, scope) : tenantFault(request, scope);
}

function tenantFault({ principal, params }: FastifyRequest, scope: RouteScope): Error | undefined {
  if (scope === 'operator') return forbidden('only an operator’s key may do this');
  const { tenant } = params as { tenant?: string };
  if (tenant !== undefined && tenant !== principal.tenant) return notFound('such tenant');
  if (scope !== 'any' && !principal.scopes.includes(scope)) return forbidden(`the key lacks ${scope}`);
  return undefined;
}

function operatorFault(request: FastifyRequest, scope: RouteScope): Error | undefined {
  const { tenant: inPath } = request.params as { tenant?: string };
  const { 'mayfly-tenant': inHeader } = request.headers;
  const tenant = inPath ?? (isRead(request) && typeof inHeader === 'string' ? inHeader : '');
  if (tenant !== '' && !isTenantName(tenant)) return notFound('such tenant');
  request.tenant = tenant;
  if (scope === 'operator' || tenant !== '') return undefined;
  return forbidden('an operator’s key acts for no tenant; it may read for the one that Mayfly-Tenant names');
}

const isRead = ({ method }: FastifyRequest): boolean => method === 'GET' || method === 'HEAD';

/** A key with a pattern touches the function that path or body name, or nothing. */
function patternFault(request: FastifyRequest): Error | undefined {
  if (request.routeOptions.config.pattern !== undefined) return undefined;
  const named = functionNamed(request);
  if (named !== undefined && mayTouch(request, named)) return undefined;
  return forbidden(`the key is for functions ${request.principal.functionPattern}`);
}

function functionNamed({ routeOptions, params, body }: FastifyRequest): string | undefined {
  const { url = '' } = routeOptions;
  const { name, target } = params as { name?: string; target?: string };
  if (url.startsWith('/v1/functions/:name')) return name;
  if (url.startsWith('/invoke/:target')) return target?.split(/[@:]/, 1)[0];
  const { function: inBody } = (body ?? {}) as { function?: unknown };
  return url === '/invoke' && typeof inBody === 'string' ? inBody : undefined;
}

function forbidden(why: string): Error {
  return gatewayError('MAYFLY_ERR_GATEWAY_FORBIDDEN', why);
}
