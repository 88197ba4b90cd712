import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { zipkinSpans } from './zipkin.mjs';

/**
 * Takes what the collector passes on: traces go to Zipkin, which speaks no OTLP, and logs to a file.
 * Answers 503 while Zipkin does not take them, so that the collector tries again.
 */
export async function startSink({ zipkinUrl, logFile }) {
  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', async () => {
      const answer = (status) => response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
      try {
        const batch = JSON.parse(Buffer.concat(chunks).toString('utf8'));
        if (request.url === '/v1/logs') appendFileSync(logFile, `${JSON.stringify(batch)}\n`);
        else if (zipkinUrl) {
          const body = JSON.stringify(zipkinSpans(batch));
          const headers = { 'content-type': 'application/json' };
          const { ok } = await fetch(`${zipkinUrl}/api/v2/spans`, { method: 'POST', headers, body });
          if (!ok) return answer(503);
        }
        answer(200);
      } catch {
        answer(503);
      }
    });
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => new Promise((resolve) => server.close(resolve).closeAllConnections()),
  };
}
