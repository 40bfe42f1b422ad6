// What is heard on AIS, and what it says about contacts: asked for, and checked.
import { RefusedError, talk } from '../api/account';
import { address } from '../api/client';
import { count, fields, list, lonLat, number, text, time } from '../api/decode';
import type { LonLat } from '../api/types';

export type Word = 'matched' | 'silent' | 'doubtful' | 'unheard' | 'undecided';
/** In the order in which a bar shows them. */
export const WORDS: readonly Word[] = ['matched', 'doubtful', 'silent', 'unheard', 'undecided'];

export interface Flag {
  kind: string;
  since: string;
  until: string;
  text: string;
  values: [string, number][];
  otherMmsi: string | null;
}

export interface Vessel {
  mmsi: string;
  station: string;
  name: string | null;
  callsign: string | null;
  imo: number | null;
  type: string | null;
  length_m: number | null;
  beam_m: number | null;
  draught_m: number | null;
  destination: string | null;
  firstHeard: string;
  lastHeard: string;
  place: LonLat | null;
  placed: string | null;
  speed_mps: number | null;
  course_deg: number | null;
  heading_deg: number | null;
  isAccurate: boolean;
  doubts: string[];
  flags: Flag[];
}

export interface VesselTrack {
  number: number;
  places: LonLat[];
  times: string[];
}

export interface Said {
  kind: string;
  text: string;
  values: Record<string, number>;
}

export interface Candidate {
  mmsi: string;
  name: string | null;
  type: string | null;
  probability: number;
  distance_m: number | null;
  bearing_deg: number | null;
  sigmas: number | null;
  age_s: number | null;
  place: LonLat | null;
  length_m: number | null;
  doubts: string[];
}

export interface Verdict {
  contactId: string;
  verdict: Word;
  probabilities: Record<Word, number>;
  mmsi: string | null;
  reasons: Said[];
  candidates: Candidate[];
}

export interface Standing {
  contactId: string;
  verdict: Word;
  probability: number;
  mmsi: string | null;
}

const isWord = (value: unknown): value is Word => typeof value === 'string' && (WORDS as readonly string[]).includes(value);
const sentence = (value: unknown): string | null => text(value, 300);

function numbers(value: unknown): [string, number][] {
  return Object.entries(fields(value) ?? {})
    .slice(0, 20)
    .map(([name, found]): [string, number | null] => [text(name, 64) ?? '?', number(found)])
    .filter((pair): pair is [string, number] => pair[1] !== null);
}

/** An MMSI is a name of digits; some say it as a number. */
const mmsiOf = (value: unknown): string | null => (typeof value === 'number' && Number.isInteger(value) ? String(value) : text(value, 16));

function flag(value: unknown): Flag | null {
  const raw = fields(value);
  const kind = text(raw?.['kind'], 40);
  if (!raw || kind === null) return null;
  return {
    kind,
    since: time(raw['since']) ?? '',
    until: time(raw['until']) ?? '',
    text: text(raw['text'], 300) ?? kind,
    values: numbers(raw['values']),
    otherMmsi: mmsiOf(raw['other_mmsi']),
  };
}

export function decodeVessel(value: unknown): Vessel | null {
  const raw = fields(value);
  const mmsi = mmsiOf(raw?.['mmsi']);
  const heard = time(raw?.['last_heard']);
  if (!raw || mmsi === null || heard === null) return null;
  const position = fields(raw['position']);
  const place = position ? lonLat([position['longitude_deg'], position['latitude_deg']]) : null;
  return {
    mmsi,
    station: text(raw['station'], 20) ?? '',
    name: text(raw['name'], 40),
    callsign: text(raw['callsign'], 20),
    imo: number(raw['imo'], 1),
    type: text(raw['type'], 60),
    length_m: number(raw['length_m'], 0, 1100),
    beam_m: number(raw['beam_m'], 0, 200),
    draught_m: number(raw['draught_m'], 0, 60),
    destination: text(raw['destination'], 40),
    firstHeard: time(raw['first_heard']) ?? heard,
    lastHeard: heard,
    place,
    placed: time(position?.['time']),
    speed_mps: number(position?.['speed_mps'], 0, 200),
    course_deg: number(position?.['course_deg'], 0, 360),
    heading_deg: number(position?.['heading_deg'], 0, 360),
    isAccurate: position?.['is_accurate'] === true,
    doubts: list(raw['doubts'], sentence, 10),
    flags: list(raw['flags'], flag, 20),
  };
}

function track(value: unknown): VesselTrack | null {
  const raw = fields(value);
  if (!raw) return null;
  return { number: count(raw['number']), places: list(raw['places'], lonLat, 20_000), times: list(raw['times'], time, 20_000) };
}

function said(value: unknown): Said | null {
  const raw = fields(value);
  const words = text(value, 400) ?? text(raw?.['text'], 400);
  if (words === null) return null;
  return { kind: text(raw?.['kind'], 40) ?? '', text: words, values: Object.fromEntries(numbers(raw?.['values'])) };
}

function candidate(value: unknown): Candidate | null {
  const raw = fields(value);
  const mmsi = mmsiOf(raw?.['mmsi']);
  if (!raw || mmsi === null) return null;
  return {
    mmsi,
    name: text(raw['name'], 40),
    type: text(raw['type'], 60),
    probability: number(raw['probability'], 0, 1) ?? 0,
    distance_m: number(raw['distance_m'], 0),
    bearing_deg: number(raw['bearing_deg'], 0, 360),
    sigmas: number(raw['sigmas'], 0),
    age_s: number(raw['age_s'], 0),
    place: lonLat([raw['longitude_deg'], raw['latitude_deg']]),
    length_m: number(raw['length_m'], 0, 1100),
    doubts: list(raw['doubts'], sentence, 6),
  };
}

export function decodeVerdict(value: unknown, contactId: string): Verdict | null {
  const raw = fields(value);
  if (!raw || !isWord(raw['verdict'])) return null;
  const shares = fields(raw['probabilities']);
  return {
    contactId,
    verdict: raw['verdict'],
    probabilities: Object.fromEntries(WORDS.map((word) => [word, number(shares?.[word], 0, 1) ?? 0])) as Record<Word, number>,
    mmsi: mmsiOf(raw['mmsi']),
    reasons: list(raw['reasons'], said, 16),
    candidates: list(raw['candidates'], candidate, 8),
  };
}

function standing(value: unknown): Standing | null {
  const raw = fields(value);
  const contactId = text(raw?.['contact_id'], 140);
  if (!raw || contactId === null || !isWord(raw['verdict'])) return null;
  return { contactId, verdict: raw['verdict'], probability: number(raw['probability'], 0, 1) ?? 0, mmsi: mmsiOf(raw['mmsi']) };
}

/** `null` when this station has no word on it. */
export async function fetchVerdict(contactId: string): Promise<Verdict | null> {
  try {
    return decodeVerdict(await talk('GET', `api/v1/contacts/${encodeURIComponent(contactId)}/ais`), contactId);
  } catch (error) {
    if (error instanceof RefusedError && (error.status === 404 || error.status === 403)) return null;
    throw error;
  }
}

export async function fetchVessel(mmsi: string): Promise<{ vessel: Vessel; tracks: VesselTrack[] } | null> {
  const found = await talk('GET', `api/v1/ais/vessels/${encodeURIComponent(mmsi)}`);
  const vessel = decodeVessel(found);
  return vessel ? { vessel, tracks: list(found['tracks'], track, 20) } : null;
}

/** Asks again for what seldom changes as a whole: with the tag of the last answer, an unchanged one costs nothing. */
export class Tagged {
  #tag = '';
  #path = '';

  /** The new body; null when it is what it was. */
  async ask(path: string): Promise<Record<string, unknown> | null> {
    const headers: Record<string, string> = { Accept: 'application/json' };
    if (path === this.#path && this.#tag !== '') headers['If-None-Match'] = this.#tag;
    const response = await fetch(address(path), { headers, cache: 'no-store', signal: AbortSignal.timeout(15_000) });
    if (response.status === 304) return null;
    if (!response.ok) throw new RefusedError('', response.status, 0);
    const body = fields(await response.json());
    this.#path = path;
    this.#tag = response.headers.get('ETag') ?? '';
    return body ?? {};
  }

  forget(): void {
    this.#tag = '';
  }
}

export interface VesselPage {
  vessels: Vessel[];
  matched: number;
}

export const readVessels = (body: Record<string, unknown>): VesselPage => ({
  vessels: list(body['items'], decodeVessel, 5_000),
  matched: count(body['number_matched']),
});

export const readStandings = (body: Record<string, unknown>): { standings: Standing[]; pending: number } => ({
  standings: list(body['items'], standing, 5_000),
  pending: count(body['pending']),
});
