// What people decide about contacts and plots: asks the ground, and reads what others have said.
import { reach, RefusedError, talk } from './account';
import { count, decodeReview, fields, list, number, position, text, time } from './decode';
import type { Decision, Position, Review } from './types';

export interface Entry {
  number: number;
  time: string;
  account: string;
  kind: 'decision' | 'undo' | 'comment' | 'assignment';
  decision: Review | null;
  text: string;
  assignee: string | null;
  undoneBy: string | null;
  contactCount: number;
}

/** Another contact at this place, of this visit or an earlier one. */
export interface Nearby {
  contactId: string;
  label: string;
  review: Review;
  was: Review | null;
  score: number;
  lastSeen: string;
  position: Position | null;
  chipId: string | null;
}

export interface ReviewOf {
  /** Empty for a plot that is part of no contact. */
  contactId: string;
  state: Review;
  version: number;
  was: Review | null;
  newTracks: number;
  decidedBy: string | null;
  decided: string | null;
  decisionNumber: number | null;
  assignee: string | null;
  history: Entry[];
  nearby: Nearby[];
}

/** Somebody decided first; `current` is what holds now. */
export class ConflictError extends Error {
  constructor(
    message: string,
    readonly current: ReviewOf | null,
  ) {
    super(message);
  }
}

export interface Pattern {
  centre?: [number, number];
  radius_m?: number;
  label?: string;
  model_id?: string;
  platform_id?: string;
  score_min?: number;
  score_max?: number;
}

export interface PatternPreview {
  previewId: string;
  contactCount: number;
  sightingCount: number;
}

const KINDS: readonly string[] = ['decision', 'undo', 'comment', 'assignment'];

function entry(value: unknown): Entry | null {
  const raw = fields(value);
  const at = time(raw?.['time']);
  const kind = raw?.['kind'];
  const account = text(raw?.['account'], 64);
  if (!raw || at === null || account === null || typeof kind !== 'string' || !KINDS.includes(kind)) return null;
  return {
    number: count(raw['number']),
    time: at,
    account,
    kind: kind as Entry['kind'],
    decision: typeof raw['decision'] === 'string' ? decodeReview(raw['decision']) : null,
    text: text(raw['text'], 1000) ?? '',
    assignee: text(raw['assignee'], 64),
    undoneBy: text(raw['undone_by'], 64),
    contactCount: count(raw['contact_count']),
  };
}

function nearby(value: unknown): Nearby | null {
  const raw = fields(value);
  const id = text(raw?.['contact_id'], 140);
  const seen = time(raw?.['last_seen']);
  if (!raw || id === null || seen === null) return null;
  return {
    contactId: id,
    label: text(raw['label'], 64) ?? '?',
    review: decodeReview(raw['review']),
    was: typeof raw['review_was'] === 'string' ? decodeReview(raw['review_was']) : null,
    score: number(raw['score'], 0, 1) ?? 0,
    lastSeen: seen,
    position: position(raw['position']),
    chipId: text(raw['best_chip_id'], 128),
  };
}

export function decodeReviewOf(value: unknown): ReviewOf | null {
  const raw = fields(value);
  const id = text(raw?.['contact_id'], 140);
  if (!raw || (id === null && text(raw['plot_id'], 140) === null)) return null;
  return {
    contactId: id ?? '',
    state: decodeReview(raw['state']),
    version: count(raw['version']),
    was: typeof raw['was'] === 'string' ? decodeReview(raw['was']) : null,
    newTracks: count(raw['new_tracks']),
    decidedBy: text(raw['decided_by'], 64),
    decided: time(raw['decided']),
    decisionNumber: number(raw['decision_number'], 1),
    assignee: text(raw['assignee'], 64),
    history: list(raw['history'], entry, 200),
    nearby: list(raw['nearby'], nearby, 50),
  };
}

function sure(found: unknown): ReviewOf {
  const review = decodeReviewOf(found);
  if (!review) throw new Error('the ground sent a review that cannot be read');
  return review;
}

const pathOf = (contactId: string): string => `api/v1/contacts/${encodeURIComponent(contactId)}/review`;
const pathOfPlot = (plotId: string): string => `api/v1/plots/${encodeURIComponent(plotId)}/review`;

export const fetchReview = async (contactId: string): Promise<ReviewOf> => sure(await talk('GET', pathOf(contactId)));

/** One change; raises `ConflictError` with the other's word when somebody was first. */
async function change(path: string, body: object, token: string): Promise<ReviewOf> {
  const response = await reach(path, {
    method: 'POST',
    headers: { Accept: 'application/json', 'Content-Type': 'application/json', 'X-Skywarden-Token': token },
    body: JSON.stringify(body),
    cache: 'no-store',
    signal: AbortSignal.timeout(15_000),
  });
  const found = fields(await response.json().catch(() => ({})));
  const said = text(found?.['error']) ?? '';
  if (response.status === 409) throw new ConflictError(said, decodeReviewOf(found?.['current']));
  if (!response.ok) throw new RefusedError(said, response.status, Number(response.headers.get('Retry-After') ?? 0));
  return sure(found);
}

/** What was shown is what is decided about: the tracks go along, as far as they fit. */
export const decide = (contactId: string, decision: Decision, version: number, seen: string[], words: string, token: string): Promise<ReviewOf> =>
  change(pathOf(contactId), { decision, version, text: words, ...(seen.length > 0 && seen.length <= 64 ? { seen_track_ids: seen } : {}) }, token);

export const comment = (contactId: string, words: string, token: string): Promise<ReviewOf> =>
  change(`${pathOf(contactId)}/comments`, { text: words }, token);

export const fetchPlotReview = async (plotId: string): Promise<ReviewOf> => sure(await talk('GET', pathOfPlot(plotId)));

export const decidePlot = (plotId: string, decision: Decision, version: number, token: string): Promise<ReviewOf> =>
  change(pathOfPlot(plotId), { decision, version }, token);

export const commentPlot = (plotId: string, words: string, token: string): Promise<ReviewOf> =>
  change(`${pathOfPlot(plotId)}/comments`, { text: words }, token);

export const assign = (contactId: string, assignee: string | null, version: number, token: string): Promise<ReviewOf> =>
  change(`${pathOf(contactId)}/assignee`, { assignee, version }, token);

export const undo = async (entryNumber: number, token: string): Promise<void> =>
  void (await talk('POST', `api/v1/review/log/${entryNumber}/undo`, {}, token));

export async function previewPattern(pattern: Pattern, token: string): Promise<PatternPreview> {
  const found = await talk('POST', 'api/v1/review/patterns', pattern, token);
  return {
    previewId: text(found['preview_id'], 64) ?? '',
    contactCount: count(found['contact_count']),
    sightingCount: count(found['sighting_count']),
  };
}

/** Rejects what the preview has shown; the number of the decision, which one undo takes back. */
export async function rejectPattern(previewId: string, words: string, token: string): Promise<number> {
  const found = await talk('POST', 'api/v1/review/patterns/reject', { preview_id: previewId, text: words }, token);
  return count(found['number']);
}
