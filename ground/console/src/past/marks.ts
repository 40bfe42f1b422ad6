// Who did what when: marks for the time line. Asked of the ground, checked record by record.
import { talk } from '../api/account';
import { fields, list, number, text } from '../api/decode';

const KINDS = ['alert', 'acknowledged', 'confirmed', 'rejected', 'more', 'undone', 'commented', 'opened', 'order'] as const;
export type MarkKind = (typeof KINDS)[number];

export interface PastMark {
  /** UNIX ms. */
  atMs: number;
  kind: MarkKind;
  /** Empty for what the station did by itself. */
  account: string;
  text: string;
  contactId: string | null;
}

const MOST = 2_000;

export function decodeMark(value: unknown): PastMark | null {
  const raw = fields(value);
  const seconds = number(raw?.['time_s'], 0, 4_102_444_800);
  const kind = KINDS.find((one) => one === raw?.['kind']);
  if (raw === null || seconds === null || kind === undefined) return null;
  return { atMs: seconds * 1000, kind, account: text(raw['account'], 64) ?? '', text: text(raw['text'], 400) ?? '', contactId: text(raw['contact_id'], 140) };
}

export async function fetchMarks(fromMs: number, toMs: number): Promise<PastMark[]> {
  const stamp = (at: number): string => new Date(at).toISOString();
  const raw = await talk('GET', `api/v1/past/marks?since=${stamp(fromMs)}&until=${stamp(toMs)}`);
  return list(raw['items'], decodeMark, MOST);
}

/** The marks that are news at a moment: the last few before it, newest first. */
export function newsAt(marks: readonly PastMark[], atMs: number, most = 3, withinMs = 120_000): PastMark[] {
  return marks.filter((one) => one.atMs <= atMs && one.atMs > atMs - withinMs).slice(-most).reverse();
}
