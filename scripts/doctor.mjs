import { hostFindings } from './doctor/host.mjs';
import { jailFindings } from './doctor/jail.mjs';
import { kvmFindings } from './doctor/kvm.mjs';
import { redisFindings } from './doctor/redis.mjs';
import { main, say } from './lib/console.mjs';

const MARK = { ok: 'ok      ', note: 'note    ', warn: 'warning ', missing: 'MISSING ' };

/**
 * Findings are `{ level, what, advice? }`: `missing` keeps Mayfly from running, `warn` should not be on a host that
 * serves tenants who do not trust each other, `note` is a fact to know. Exit code 1 when something is missing.
 */
await main(async () => {
  const findings = [...kvmFindings(), ...hostFindings(), ...jailFindings(), ...(await redisFindings())];
  for (const { level, what, advice } of findings) {
    say(`${MARK[level]} ${what}`);
    if (advice) say(`           ${advice}`);
  }
  const count = (level) => findings.filter((finding) => finding.level === level).length;
  say(`\n${count('missing')} missing, ${count('warn')} warnings for a multi-tenant host`);
  return count('missing') > 0 ? 1 : 0;
});
