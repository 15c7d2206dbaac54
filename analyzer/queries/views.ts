// SPDX-License-Identifier: Apache-2.0
/** The views that a query sees: what is empty is NULL, times are also in µs, and each kind of event has the columns that matter for it. */

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

const EVENTS = `
  SELECT session, event, time_ns, duration_ns, kind, operation, pid, tid, thread,
    nullif(object, '') AS object, nullif(device, '') AS device, nullif(fd, -1) AS fd,
    nullif(region, '') AS region, "offset", nullif(register, '') AS register, nullif(width, 0) AS width,
    value, value_signed, result, nullif(errno, '') AS errno, nullif(site, '') AS site,
    nullif(interrupt, '') AS interrupt, nullif(caught, '') AS caught, iova, size`;

/** `directory`: a data set; `findings`: it has the findings, too. */
export function viewDefinitions(directory: string, findings: boolean): readonly string[] {
  const files = (table: string): string =>
    `read_parquet(${quoted(`${directory}/${table}/*/*.parquet`)}, hive_partitioning = true, hive_types = {'session': VARCHAR})`;
  return [
    `CREATE VIEW events AS ${EVENTS} FROM ${files('events')}`,
    `CREATE VIEW mmio AS SELECT session, event, time_ns, pid, tid, thread, object, device, kind AS access, region, "offset", register,
       width, value, caught, site FROM events WHERE kind IN ('load', 'store', 'update')`,
    `CREATE VIEW ioctls AS SELECT session, event, time_ns, duration_ns, pid, tid, thread, object, device, fd, operation AS name,
       value AS argument, result, errno, site FROM events WHERE kind = 'ioctl'`,
    `CREATE VIEW interrupts AS SELECT session, event, time_ns, duration_ns, time_ns + duration_ns AS done_ns, pid, tid, thread, interrupt,
       kind AS what, CASE WHEN kind = 'read' AND errno IS NULL THEN value END AS signals, site
       FROM events WHERE interrupt IS NOT NULL AND kind IN ('wake', 'read')`,
    `CREATE VIEW dma_maps AS
       WITH calls AS (
         SELECT *, operation LIKE '%UNMAP%' AS unmap,
           lead(time_ns + duration_ns) OVER (PARTITION BY session, object, iova ORDER BY event) AS next_ns,
           lead(operation LIKE '%UNMAP%') OVER (PARTITION BY session, object, iova ORDER BY event) AS next_unmaps
         FROM events WHERE kind = 'ioctl' AND size > 0 AND errno IS NULL)
       SELECT session, event, object, iova, size, time_ns AS mapped_ns, duration_ns AS map_duration_ns,
         CASE WHEN next_unmaps THEN next_ns END AS unmapped_ns, site
       FROM calls WHERE NOT unmap`,
    findings
      ? `CREATE VIEW findings AS SELECT session, rule, severity, nullif(object, '') AS object, nullif(device, '') AS device, message, count,
           nullif(event, -1) AS event, fingerprint FROM ${files('findings')}`
      : `CREATE VIEW findings AS SELECT NULL AS session WHERE error('this data set has no findings: make it with export --to parquet') IS NULL`,
  ];
}
