// SPDX-License-Identifier: Apache-2.0
/**
 * Queues from doorbell to completion by SQL, with windows and joins instead of an engine that goes from event to event: what a doorbell,
 * a wake-up and a completion are is docs/stats-json.md's definition, written a second time.
 */
import type { Latency, Statistics } from '../../analyzer/performance/model.js';
import { runQuery } from '../../analyzer/queries/query.js';
import type { BothRows } from './independent-series.js';

/** count, sum, smallest and largest of a latency. */
const STEPS = ['doorbell_to_wake', 'wake_to_read', 'read_to_completion', 'doorbell_to_completion'] as const;

const COMMON = `
  -- An event is done when it was entered and its duration has passed.
  RECURSIVE named AS (
    SELECT event, kind, errno, object, register, pid, tid, interrupt, time_ns + duration_ns AS done FROM events),
  -- Wake-ups for interrupts, and reads of their eventfds.
  marks AS (
    SELECT event, pid, tid, kind, split_part(interrupt, ' ', 1) AS object, done FROM named
    WHERE errno IS NULL AND kind IN ('wake', 'read') AND interrupt IS NOT NULL AND NOT ends_with(interrupt, ' unmask')),
  neighbours AS (
    SELECT *, lag(kind) OVER w AS before, lag(object) OVER w AS object_before, lead(kind) OVER w AS after,
      lead(object) OVER w AS object_after, lead(done) OVER w AS done_after, lead(event) OVER w AS event_after
    FROM marks WINDOW w AS (PARTITION BY pid, tid ORDER BY event)),
  -- A read is a wake-up of its own when none of the same device led to it.
  woken AS (
    SELECT event, pid, tid, object, done AS wake,
      CASE WHEN kind = 'read' THEN done WHEN after = 'read' AND object_after = object THEN done_after END AS read,
      CASE WHEN kind = 'read' THEN event ELSE event_after END AS read_event
    FROM neighbours WHERE kind = 'wake' OR before IS NULL OR before = 'read' OR object_before <> object),
  rings AS (
    SELECT event, pid, tid, object, done,
      CASE WHEN regexp_matches(register, '^(CQ\\d+HDBL|RDT(\\[\\d+\\])?)$') THEN 'complete' ELSE 'submit' END AS role,
      starts_with(register, 'SQ') OR starts_with(register, 'CQ') AS nvme,
      CASE WHEN register = 'queue_notify' THEN 'virtqueue'
        WHEN starts_with(register, 'TDT') THEN 'tx ' || number WHEN starts_with(register, 'RDT') THEN 'rx ' || number
        WHEN starts_with(register, 'notify') THEN 'virtqueue ' || number ELSE 'queue ' || number END AS queue
    FROM (SELECT *, coalesce(nullif(regexp_extract(register, '\\d+'), ''), '0') AS number FROM named
      WHERE kind IN ('store', 'update')
        AND regexp_matches(register, '^(SQ\\d+TDBL|CQ\\d+HDBL|[TR]DT(\\[\\d+\\])?|notify(\\[\\d+\\])?|queue_notify)$'))),
  plain AS (SELECT object, min(event) AS since FROM rings WHERE NOT nvme GROUP BY object),
  -- Completions by a doorbell answer the first doorbell since the completion before.
  rounds AS (
    SELECT *, sum(told) OVER (PARTITION BY object, queue ORDER BY event ROWS UNBOUNDED PRECEDING) - told AS round
    FROM (SELECT *, CASE WHEN role = 'complete' THEN 1 ELSE 0 END AS told FROM rings)),
  oldest AS (SELECT object, queue, round, min_by(done, event) AS rung FROM rounds WHERE role = 'submit' GROUP BY ALL),
  told AS (
    SELECT c.object, c.queue, c.event, c.pid, c.tid, c.done, c.nvme, rung
    FROM rounds c LEFT JOIN oldest USING (object, queue, round) WHERE role = 'complete'),
  by_doorbell AS (
    SELECT t.*, w.wake, CASE WHEN w.read_event < t.event THEN w.read END AS read,
      coalesce(w.object = t.object AND t.nvme AND row_number() OVER (PARTITION BY t.pid, t.tid, w.event, t.object ORDER BY t.event) = 1, false) AS first
    FROM told t ASOF LEFT JOIN woken w ON w.pid = t.pid AND w.tid = t.tid AND w.event < t.event),
  -- Elsewhere the first access after a wake-up answers all queues that were rung before the wake-up.
  touches AS MATERIALIZED (
    SELECT object, event, wake, read, done FROM (
      SELECT w.object, min(a.event) AS event, min_by(a.done, a.event) AS done, any_value(w.wake) AS wake,
        any_value(CASE WHEN w.read_event < a.event THEN w.read END) AS read
      FROM (SELECT * FROM named WHERE kind IN ('load', 'store', 'update') AND object IN (SELECT object FROM plain)) a
        ASOF JOIN woken w ON w.pid = a.pid AND w.tid = a.tid AND w.event < a.event
      WHERE w.object = a.object GROUP BY w.object, w.event)),
  submits AS MATERIALIZED (
    SELECT object, queue, event, done FROM rings WHERE NOT nvme AND role = 'submit' AND object IN (SELECT object FROM touches)),
  answers AS (
    SELECT s.object, s.queue, s.event, s.done AS rung, min(t.event) AS touch
    FROM submits s JOIN touches t ON t.object = s.object AND t.event > s.event AND t.wake >= s.done GROUP BY ALL),
  -- The first doorbell after an answer is the oldest of the next one.
  links AS MATERIALIZED (
    SELECT a.*, n.event AS next FROM answers a
      ASOF LEFT JOIN submits n ON n.object = a.object AND n.queue = a.queue AND a.touch <= n.event),
  walk AS (
    SELECT * FROM links WHERE event IN (SELECT min(event) FROM submits GROUP BY object, queue)
    UNION ALL SELECT l.* FROM walk w JOIN links l ON l.event = w.next),
  by_touch AS (
    SELECT w.object, w.queue, t.event, t.done, w.rung, t.wake, t.read, true AS first
    FROM walk w JOIN touches t ON t.object = w.object AND t.event = w.touch),
  completed AS (
    SELECT object, queue, done, rung, wake, read, first FROM by_doorbell
    UNION ALL SELECT object, queue, done, rung, wake, read, first FROM by_touch),
  steps AS (
    SELECT object, queue, first,
      CASE WHEN first AND rung <= wake THEN wake - rung END AS doorbell_to_wake,
      CASE WHEN first AND read IS NOT NULL THEN greatest(0, read - wake) END AS wake_to_read,
      CASE WHEN first AND read IS NOT NULL THEN greatest(0, done - read) END AS read_to_completion,
      CASE WHEN rung IS NOT NULL THEN greatest(0, done - rung) END AS doorbell_to_completion
    FROM completed)`;

const QUEUES = `WITH ${COMMON}
  SELECT r.object, r.queue, r.doorbells, coalesce(s.completions, 0), coalesce(s.woken, 0),
    ${STEPS.map((step) => `coalesce(${step}_n, 0), coalesce(${step}_sum, 0), coalesce(${step}_min, 0), coalesce(${step}_max, 0)`).join(', ')}
  FROM (SELECT object, queue, count(*) FILTER (role = 'submit') AS doorbells FROM rings GROUP BY ALL) r
  LEFT JOIN (SELECT object, queue, count(*) AS completions, count(*) FILTER (first) AS woken,
    ${STEPS.map((step) => `count(${step}) AS ${step}_n, sum(${step}) AS ${step}_sum, min(${step}) AS ${step}_min, max(${step}) AS ${step}_max`).join(', ')}
    FROM steps GROUP BY ALL) s USING (object, queue)`;

const figures = (latency: Latency | null): readonly number[] =>
  latency === null ? [0, 0, 0, 0] : [latency.timed, latency.total_ns, latency.min_ns, latency.max_ns];

/** Rows of `object queue: doorbells completions woken, count sum min max of each step`, from both. */
export async function queueRows(directory: string, { queues }: Statistics): Promise<BothRows> {
  const { rows } = await runQuery(directory, QUEUES);
  return {
    ours: queues
      .map((queue) =>
        [
          queue.object,
          queue.queue,
          queue.doorbells,
          queue.completions,
          queue.woken,
          ...STEPS.flatMap((step) => figures(queue[step])),
        ].join(' '),
      )
      .sort(),
    sql: rows.map((row) => row.join(' ')).sort(),
  };
}
