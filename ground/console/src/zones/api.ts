// Zones and rules: what the ground keeps, checked before the map or a form sees it.
import { reach, RefusedError, talk } from '../api/account';
import { fields, list, lonLat, number, text } from '../api/decode';
import type { LonLat } from '../api/types';
import type { Severity } from '../alerts/api';
import type { Hours } from '../alerts/hours';

export type ZoneKind = 'area' | 'corridor' | 'line' | 'exclusion' | 'mute';
export const ZONE_KINDS: readonly ZoneKind[] = ['area', 'exclusion', 'corridor', 'line', 'mute'];
export const isSurface = (kind: ZoneKind): boolean => kind === 'area' || kind === 'exclusion' || kind === 'mute';

export interface Zone {
  zone_id: string;
  name: string;
  kind: ZoneKind;
  /** Of surfaces: polygons of rings, the outer one first. */
  polygons: LonLat[][][];
  /** Of corridors and lines. */
  lines: LonLat[][];
  width_m: number;
  source: string;
}

export type Trigger = 'inside' | 'enters' | 'leaves' | 'crosses' | 'anywhere';
export const TRIGGERS: readonly Trigger[] = ['inside', 'enters', 'leaves', 'crosses', 'anywhere'];
export type Light = 'any' | 'dark' | 'day';
export const VERDICTS = ['silent', 'doubtful', 'unheard', 'undecided', 'matched'] as const;

/** A rule as the ground keeps it (ground.alerts.rules.Rule); all that is asked must hold. */
export interface Rule {
  rule_id: string;
  name: string;
  trigger: Trigger;
  severity: Severity;
  is_on: boolean;
  zone_ids: string[];
  labels: string[];
  min_score: number;
  max_ce90_m: number | null;
  min_looks: number;
  min_probability: number;
  min_speed_mps: number | null;
  max_speed_mps: number | null;
  ais: string[];
  light: Light;
  hours: Hours[];
  quiet: Hours[];
  utc_offset_min: number;
  dwell_s: number;
  again_after_s: number;
  escalate_after_s: number;
  to_pilot: boolean;
}

const MOST_ZONES = 5_000;
const MOST_POINTS = 20_000;

const within = <T extends string>(value: unknown, allowed: readonly T[]): T | null =>
  typeof value === 'string' && (allowed as readonly string[]).includes(value) ? (value as T) : null;
const points = (value: unknown): LonLat[] => list(value, lonLat, MOST_POINTS);

export function decodeZone(value: unknown): Zone | null {
  const raw = fields(value);
  const id = text(raw?.['zone_id'], 140);
  const kind = within(raw?.['kind'], ZONE_KINDS);
  if (!raw || id === null || kind === null) return null;
  return {
    zone_id: id,
    name: text(raw['name'], 100) ?? id,
    kind,
    polygons: list(raw['polygons'], (polygon) => list(polygon, points, 500), 500),
    lines: list(raw['lines'], points, 500),
    width_m: number(raw['width_m'], 0, 100_000) ?? 0,
    source: text(raw['source'], 200) ?? '',
  };
}

const word = (value: unknown): string | null => text(value, 140);
const minute = (value: unknown): number | null => number(value, 0, 1440);

function hours(value: unknown): Hours | null {
  const raw = fields(value);
  const [from, until] = [minute(raw?.['from']), minute(raw?.['until'])];
  return from === null || until === null ? null : { from, until };
}

export function decodeRule(value: unknown): Rule | null {
  const raw = fields(value);
  const id = text(raw?.['rule_id'], 140);
  const trigger = within(raw?.['trigger'], TRIGGERS);
  if (!raw || id === null || trigger === null) return null;
  return {
    rule_id: id,
    name: text(raw['name'], 100) ?? id,
    trigger,
    severity: within<Severity>(raw['severity'], ['notice', 'warning', 'urgent']) ?? 'warning',
    is_on: raw['is_on'] !== false,
    zone_ids: list(raw['zone_ids'], word, 200),
    labels: list(raw['labels'], word, 50),
    min_score: number(raw['min_score'], 0, 1) ?? 0,
    max_ce90_m: number(raw['max_ce90_m'], 0),
    min_looks: number(raw['min_looks'], 1, 10_000) ?? 2,
    min_probability: number(raw['min_probability'], 0.5, 0.999) ?? 0.9,
    min_speed_mps: number(raw['min_speed_mps'], 0, 200),
    max_speed_mps: number(raw['max_speed_mps'], 0, 200),
    ais: list(raw['ais'], word, 20),
    light: within<Light>(raw['light'], ['any', 'dark', 'day']) ?? 'any',
    hours: list(raw['hours'], hours, 10),
    quiet: list(raw['quiet'], hours, 10),
    utc_offset_min: number(raw['utc_offset_min'], -840, 840) ?? 0,
    dwell_s: number(raw['dwell_s'], 0) ?? 0,
    again_after_s: number(raw['again_after_s'], 0) ?? 1800,
    escalate_after_s: number(raw['escalate_after_s'], 0) ?? 0,
    to_pilot: raw['to_pilot'] === true,
  };
}

export const fetchZones = async (): Promise<Zone[]> => list((await talk('GET', 'api/v1/zones'))['items'], decodeZone, MOST_ZONES);
export const fetchRules = async (): Promise<Rule[]> => list((await talk('GET', 'api/v1/rules'))['items'], decodeRule, 600);

export const putZone = async (zone: Zone, token: string): Promise<void> => void (await talk('PUT', `api/v1/zones/${encodeURIComponent(zone.zone_id)}`, zone, token));
export const removeZone = async (zoneId: string, token: string): Promise<void> => void (await talk('DELETE', `api/v1/zones/${encodeURIComponent(zoneId)}`, undefined, token));
export const putRule = async (rule: Rule, token: string): Promise<void> => void (await talk('PUT', `api/v1/rules/${encodeURIComponent(rule.rule_id)}`, rule, token));
export const removeRule = async (ruleId: string, token: string): Promise<void> => void (await talk('DELETE', `api/v1/rules/${encodeURIComponent(ruleId)}`, undefined, token));

/** The ground reads GeoJSON, KML, GeoPackage and QGroundControl's plans; what is in a file decides, not its name. */
export const MOST_FILE_BYTES = 10_000_000;

export async function importZones(file: File, kind: ZoneKind, widthM: number, token: string): Promise<Zone[]> {
  const asked = new URLSearchParams({ name: file.name.slice(0, 100) || 'file', kind: isSurface(kind) ? kind : 'area', width_m: String(widthM) });
  const response = await reach(`api/v1/zones/import?${asked}`, {
    method: 'POST',
    headers: { Accept: 'application/json', 'Content-Type': 'application/octet-stream', 'X-Skywarden-Token': token },
    body: file,
    cache: 'no-store',
    signal: AbortSignal.timeout(60_000),
  });
  const found = fields(await response.json().catch(() => ({})));
  if (!response.ok) throw new RefusedError(text(found?.['error']) ?? '', response.status, 0);
  return list(found?.['items'], decodeZone, MOST_ZONES);
}

/** An id that nobody else makes at the same moment, and that still says what it names. */
export function freshId(prefix: string, name: string): string {
  const slug = name
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40);
  const mark = Array.from(crypto.getRandomValues(new Uint8Array(4)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${prefix}-${slug || 'new'}-${mark}`;
}
