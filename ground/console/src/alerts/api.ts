// Alerts as the ground tells them, and what a person may do about one.
import { RefusedError, talk } from '../api/account';
import { fields, list, lonLat, number, text, time } from '../api/decode';
import type { LonLat } from '../api/types';

export type Severity = 'notice' | 'warning' | 'urgent';
export const SEVERITIES: readonly Severity[] = ['notice', 'warning', 'urgent'];

/** One thing that was asked and held: a word for programs, a sentence in English, the numbers. */
export interface Reason {
  word: string;
  text: string;
  value: number | null;
  limit: number | null;
}

export interface Act {
  kind: 'acknowledged' | 'escalated' | 'commented';
  time: string;
  /** Empty: the station by itself. */
  account: string;
  text: string;
}

export interface Alert {
  alertId: string;
  /** Grows with every new alert. */
  key: number;
  ruleId: string;
  ruleName: string;
  severity: Severity;
  zoneId: string | null;
  zoneName: string | null;
  contactId: string;
  label: string;
  score: number;
  time: string;
  noted: string;
  place: LonLat | null;
  ce90_m: number | null;
  probability: number | null;
  speed_mps: number | null;
  course_deg: number | null;
  why: Reason[];
  isQuiet: boolean;
  isExercise: boolean;
  /** Nobody has acknowledged it and it is not quiet. */
  sounds: boolean;
  acknowledgedBy: string | null;
  acknowledged: string | null;
  acts: Act[];
}

const ACTS: readonly string[] = ['acknowledged', 'escalated', 'commented'];

function reason(value: unknown): Reason | null {
  const raw = fields(value);
  const said = text(raw?.['text'], 300);
  if (!raw || said === null) return null;
  return { word: text(raw['word'], 32) ?? '', text: said, value: number(raw['value']), limit: number(raw['limit']) };
}

function act(value: unknown): Act | null {
  const raw = fields(value);
  const at = time(raw?.['time']);
  const kind = raw?.['kind'];
  if (!raw || at === null || typeof kind !== 'string' || !ACTS.includes(kind)) return null;
  return { kind: kind as Act['kind'], time: at, account: text(raw['account'], 64) ?? '', text: text(raw['text'], 2000) ?? '' };
}

export function decodeAlert(value: unknown): Alert | null {
  const raw = fields(value);
  const id = text(raw?.['alert_id'], 140);
  const contactId = text(raw?.['contact_id'], 140);
  const at = time(raw?.['time']);
  const severity = raw?.['severity'];
  if (!raw || id === null || contactId === null || at === null) return null;
  if (typeof severity !== 'string' || !(SEVERITIES as readonly string[]).includes(severity)) return null;
  return {
    alertId: id,
    key: number(raw['key'], 0, Number.MAX_SAFE_INTEGER) ?? 0,
    ruleId: text(raw['rule_id'], 140) ?? '',
    ruleName: text(raw['rule_name'], 100) ?? '?',
    severity: severity as Severity,
    zoneId: text(raw['zone_id'], 140),
    zoneName: text(raw['zone_name'], 100),
    contactId,
    label: text(raw['label'], 64) ?? '?',
    score: number(raw['score'], 0, 1) ?? 0,
    time: at,
    noted: time(raw['noted']) ?? at,
    place: lonLat(raw['place']),
    ce90_m: number(raw['ce90_m'], 0),
    probability: number(raw['probability'], 0, 1),
    speed_mps: number(raw['speed_mps'], 0),
    course_deg: number(raw['course_deg'], -720, 720),
    why: list(raw['why'], reason, 20),
    isQuiet: raw['is_quiet'] === true,
    isExercise: raw['is_exercise'] === true,
    sounds: raw['sounds'] === true,
    acknowledgedBy: text(raw['acknowledged_by'], 64),
    acknowledged: time(raw['acknowledged']),
    acts: list(raw['acts'], act, 200),
  };
}

function sure(found: unknown): Alert {
  const alert = decodeAlert(found);
  if (!alert) throw new Error('the ground sent an alert that cannot be read');
  return alert;
}

export interface Page {
  alerts: Alert[];
  /** Records that could not be read. */
  refused: number;
}

/** Newest first; `before`: the key of the oldest that is there already. */
export async function fetchAlerts(limit: number, before: number | null = null, isOpen = false): Promise<Page> {
  const asked = `limit=${limit}${before === null ? '' : `&before=${before}`}${isOpen ? '&is_open=true' : ''}`;
  const found = await talk('GET', `api/v1/alerts?${asked}`);
  const raw = Array.isArray(found['items']) ? (found['items'] as unknown[]) : [];
  const alerts = raw.map(decodeAlert).filter((one): one is Alert => one !== null);
  return { alerts, refused: raw.length - alerts.length };
}

export const fetchAlert = async (alertId: string): Promise<Alert> => sure(await talk('GET', `api/v1/alerts/${encodeURIComponent(alertId)}`));

export type Deed = 'acknowledge' | 'escalate' | 'comments';

/** Does something about an alert; raises `RefusedError` with the ground's words, 409 when somebody was first. */
export const actOn = async (alertId: string, deed: Deed, words: string, token: string): Promise<Alert> =>
  sure(await talk('POST', `api/v1/alerts/${encodeURIComponent(alertId)}/${deed}`, { text: words }, token));

export { RefusedError };
