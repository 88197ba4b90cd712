import multipart from '@fastify/multipart';
import { isMayflyError, LIMITS } from '@mayfly/contracts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { gatewayError, quotaExceeded } from '../../errors.js';
import { answerOnce } from '../../idempotency/answer-once.js';
import { Claims } from '../../idempotency/claims.js';
import { onceRequest, readIdempotencyKey } from '../../idempotency/idempotency-key.js';
import { memoryOf } from '../../invocations/call-limits.js';
import { sendAnswer } from '../../plugins/error-handler.js';
import type { Answer } from '../../problem.js';
import { VersionSchema } from '../../schemas/function.js';
import { ManifestSchema } from '../../schemas/manifest.js';
import { FunctionParams, problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { parseManifest } from '../../uploads/manifest.js';
import { discard, type ReceivedUpload, receiveUpload } from '../../uploads/receive.js';
import { describeVersion, versionPath } from './describe.js';

const JSON_TYPE = 'application/json; charset=utf-8';
/** An upload is held in memory while its ELF is checked, so few are taken at once. */
const MAX_UPLOADS = 4;

/** `POST /v1/functions/{name}/versions`: a binary becomes a version, and its function with the first one. */
export async function uploadRoute(scope: FastifyInstance, services: Services): Promise<void> {
  scope.removeContentTypeParser(['application/json', 'text/plain']);
  await scope.register(multipart);
  scope.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
  const claims = new Claims(services.redis);
  let uploads = 0;

  scope.post<{ Params: Static<typeof FunctionParams> }>(
    '/v1/functions/:name/versions',
    {
      config: { scope: 'function:write' },
      schema: {
        summary: 'Upload a version',
        description:
          'Multipart with the parts `binary` (file) and `manifest` (JSON, optional), or the binary alone as application/octet-stream. The same binary and manifest again answer 200 with the version they made.',
        consumes: ['multipart/form-data', 'application/octet-stream'],
        params: FunctionParams,
        body: {
          type: 'object',
          required: ['binary'],
          properties: { binary: { type: 'string', format: 'binary' }, manifest: ManifestSchema },
        },
        response: { 200: VersionSchema, 201: VersionSchema, ...problems('4XX', '5XX') },
      },
      // The schema describes the body; its parts are checked as they come.
      attachValidation: true,
    },
    async (request, reply) => {
      if (request.validationError?.validationContext === 'params') throw request.validationError;
      services.invoker.checkOpen();
      if (uploads >= MAX_UPLOADS)
        throw gatewayError('MAYFLY_ERR_GATEWAY_SATURATED', `${uploads} uploads are being taken`);
      if (request.body === undefined && !request.isMultipart())
        throw gatewayError(
          'MAYFLY_ERR_GATEWAY_MEDIA_TYPE',
          'expected multipart/form-data or application/octet-stream',
        );
      uploads += 1;
      try {
        const { tenant } = request;
        const { name } = request.params;
        const upload = await receiveUpload(request, services.blobs, tenant);
        const key = readIdempotencyKey(request.headers, false);
        const act = () => answerUpload(services, request, { name, upload });
        if (key === undefined) return sendAnswer(reply, await act());
        const scope = {
          ...{ tenant, route: '/v1/functions/{name}/versions' },
          function: name,
          qualifier: '',
        };
        const once = onceRequest(key, scope, [upload.binary.sha256, upload.manifestText]);
        const { answer, replayed } = await answerOnce(claims, once, act);
        if (replayed) reply.header('idempotency-replayed', 'true');
        return sendAnswer(reply, answer);
      } finally {
        uploads -= 1;
      }
    },
  );
}

async function answerUpload(
  services: Services,
  request: FastifyRequest,
  { name, upload }: { name: string; upload: ReceivedUpload },
): Promise<Answer & { readonly body: string }> {
  const { tenant } = request;
  const { version, created } = await storeVersion(services, { tenant, name, upload });
  services.cache.forget(tenant, name);
  if (created)
    await services.audit.record(request, {
      ...{ action: 'version.create', tenant, target: `${name}@${version.version}` },
      after: { artifactSha256: version.artifactSha256, manifest: version.manifest },
    });
  return {
    status: created ? 201 : 200,
    headers: { 'content-type': JSON_TYPE, location: versionPath(name, version.version) },
    body: JSON.stringify(describeVersion(name, version)),
  };
}

async function storeVersion(
  { blobs, checkArtifact, registry, policies }: Services,
  { tenant, name, upload }: { tenant: string; name: string; upload: ReceivedUpload },
) {
  const { binary } = upload;
  try {
    const manifest = parseManifest(upload.manifestText);
    const { maxMemoryBytes } = policies.of(tenant).quotas;
    const memoryBytes = memoryOf(manifest);
    if (memoryBytes > maxMemoryBytes)
      throw quotaExceeded({ name: 'maxMemoryBytes', value: maxMemoryBytes, current: memoryBytes });
    checkElf(checkArtifact, await blobs.get(tenant, binary.sha256, { limitBytes: LIMITS.artifactBytes }));
    return await registry.addVersion(tenant, name, {
      artifactSha256: binary.sha256,
      artifactBytes: binary.lengthBytes,
      manifest,
      createdAtMs: Date.now(),
    });
  } catch (error) {
    if (isMayflyError(error) && error.definition.fault === 'caller') await discard(blobs, tenant, binary);
    throw error;
  }
}

function checkElf(checkArtifact: Services['checkArtifact'], bytes: Uint8Array): void {
  try {
    checkArtifact(bytes);
  } catch (error) {
    if (!isMayflyError(error)) throw error;
    throw gatewayError('MAYFLY_ERR_GATEWAY_ARTIFACT', error.message, { cause: error });
  }
}
