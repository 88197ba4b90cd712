import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';

/** Collects the routes registered after it into an OpenAPI 3.1 document. */
export async function describeApi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Mayfly',
        description: 'Functions in micro-VMs: upload a guest binary, invoke it, read what became of it.',
        version: '1',
      },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }],
    },
  });
}
