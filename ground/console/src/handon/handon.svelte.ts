// What is about to be handed on: which tab is open, the period, the terms, and the file that is being made.
import { RefusedError } from '../api/account';
import { account } from '../state/account.svelte';
import { picture } from '../state/picture.svelte';
import { view } from '../state/view.svelte';
import { count, keep, readPlan, take, type Counts, type Flight, type Taken } from './api';

export const FORMS = ['geojson', 'kmz', 'kml', 'gpkg', 'csv', 'gpx'] as const;
export type Form = (typeof FORMS)[number];
export const LAYERS = ['contacts', 'sightings', 'tracks', 'plots', 'ais'] as const;
export type Layer = (typeof LAYERS)[number];
export const TABS = ['file', 'report', 'plan'] as const;
export type Tab = (typeof TABS)[number];
/** Seconds back from now; 0: all that there is; -1: from and to are given. */
export const PERIODS = [3600, 6 * 3600, 12 * 3600, 86_400, 7 * 86_400, 0, -1] as const;
/** Whom a flight is about. */
export interface Goal {
  kind: 'survey' | 'orbit';
  id: string;
  label: string;
  isConfirmed: boolean;
}

class HandOn {
  isOpen = $state(false);
  tab = $state<Tab>('file');
  goal = $state.raw<Goal | null>(null);
  form = $state<Form>('geojson');
  layers = $state<Layer[]>(['contacts', 'tracks', 'plots']);
  periodS = $state<number>(86_400);
  from = $state('');
  until = $state('');
  label = $state('');
  platformId = $state('');
  isHere = $state(false);
  withUnreviewed = $state(false);
  reportForm = $state<'html' | 'pdf'>('html');
  language = $state<'en' | 'es'>('en');
  height_m = $state(100);
  /** What the law of the place allows; the ground refuses a flight that would be higher anywhere on its way. */
  most_m = $state(120);
  radius_m = $state(300);
  turns = $state(2);
  overlap = $state(0.7);
  counts = $state.raw<Counts | null>(null);
  flight = $state.raw<Flight | null>(null);
  bytes = $state<number | null>(null);
  trouble = $state('');
  done = $state.raw<Taken | null>(null);
  #stop: AbortController | null = null;
  #plan: Taken | null = null;

  /** Files may leave by this person's hand. */
  get mayHandOn(): boolean {
    return account.who?.permissions.includes('export') ?? false;
  }

  get isBusy(): boolean {
    return this.bytes !== null;
  }

  /** Opens the panel; with a goal, at the flight that is to be proposed. */
  open(goal: Goal | null = null): void {
    if (!this.mayHandOn) return;
    this.goal = goal;
    this.withUnreviewed = false; // said anew each time
    this.tab = goal ? 'plan' : this.tab === 'plan' ? 'file' : this.tab;
    if (goal?.kind === 'survey') this.height_m = 80;
    if (goal?.kind === 'orbit') this.height_m = 100;
    this.forget();
    this.isOpen = true;
  }

  close(): void {
    this.cancel();
    this.isOpen = false;
  }

  cancel(): void {
    this.#stop?.abort();
    this.#stop = null;
    this.bytes = null;
  }

  /** Something else is wanted: what was made before is not that. */
  forget(): void {
    this.trouble = '';
    this.done = null;
    this.flight = null;
    this.#plan = null;
  }

  /** Since and until as the ground reads them; null where it has no such end. Wrong where they cannot be read. */
  get span(): { since: string | null; until: string | null; isWrong: boolean } {
    if (this.periodS === 0) return { since: null, until: null, isWrong: false };
    if (this.periodS > 0) return { since: new Date(picture.nowMs() - this.periodS * 1000).toISOString(), until: null, isWrong: false };
    const [from, until] = [Date.parse(`${this.from}Z`), this.until === '' ? Infinity : Date.parse(`${this.until}Z`)];
    if (!Number.isFinite(from) || !(until > from)) return { since: null, until: null, isWrong: true };
    return { since: new Date(from).toISOString(), until: until === Infinity ? null : new Date(until).toISOString(), isWrong: false };
  }

  /** The terms that lists and files share. */
  terms(): URLSearchParams {
    const terms = new URLSearchParams();
    const { since, until } = this.span;
    if (since) terms.set('since', since);
    if (until) terms.set('until', until);
    if (this.tab !== 'file') return terms;
    if (this.label) terms.set('label', this.label);
    if (this.platformId) terms.set('platform_id', this.platformId);
    if (this.isHere && view.bounds) terms.set('bbox', view.bounds.map((one) => one.toFixed(6)).join(','));
    return terms;
  }

  get path(): string {
    if (this.tab === 'plan') return this.#planPath();
    const terms = this.terms();
    if (this.withUnreviewed) terms.set('unreviewed', 'true');
    if (this.tab === 'report') {
      if (!terms.has('since')) terms.set('since', '1970-01-01T00:00:00Z');
      terms.set('language', this.language);
      terms.set('form', this.reportForm);
      return `api/v1/report?${terms}`;
    }
    for (const layer of this.form === 'csv' ? this.layers.slice(0, 1) : this.layers) terms.append('layer', layer);
    return `api/v1/exports/${this.form}?${terms}`;
  }

  #planPath(): string {
    const goal = this.goal;
    if (!goal) return '';
    const terms = new URLSearchParams({ height_m: String(this.height_m), greatest_height_m: String(this.most_m) });
    if (goal.kind === 'orbit') {
      terms.set('radius_m', String(this.radius_m));
      terms.set('turns', String(this.turns));
    } else terms.set('side_overlap', String(this.overlap));
    if (this.withUnreviewed) terms.set('unreviewed', 'true');
    return `api/v1/plans/${goal.kind}/${encodeURIComponent(goal.id)}?${terms}`;
  }

  /** How many contacts the terms match; silent when the ground does not answer, the file itself will say. */
  async look(): Promise<void> {
    const wanted = this.terms().toString();
    this.counts = null;
    try {
      const found = await count(new URLSearchParams(wanted));
      if (this.#isSame(wanted)) this.counts = found;
    } catch {
      this.counts = null;
    }
  }

  #isSame(wanted: string): boolean {
    // A period that ends now moves on by itself while the answer is on its way.
    const plain = (terms: string): string => new URLSearchParams([...new URLSearchParams(terms)].filter(([name]) => name !== 'since')).toString();
    return plain(wanted) === plain(this.terms().toString());
  }

  /** Makes the file and keeps it; of a flight first its drawing, and the file when asked again. */
  async make(): Promise<void> {
    if (this.isBusy) return;
    if (this.tab === 'plan' && this.#plan) {
      this.done = this.#plan;
      keep(this.#plan);
      return;
    }
    this.forget();
    this.bytes = 0;
    const stop = (this.#stop = new AbortController());
    try {
      const taken = await take(this.path, (bytes) => (this.bytes = bytes), stop.signal);
      if (stop.signal.aborted) return;
      if (this.tab === 'plan') {
        this.flight = readPlan(await taken.data.text());
        this.#plan = taken;
      } else {
        this.done = taken;
        keep(taken);
      }
    } catch (error) {
      if (stop.signal.aborted) return;
      this.trouble = error instanceof RefusedError ? error.message || `(${error.status})` : '?';
      if (error instanceof RefusedError && error.status === 401) void account.check();
    } finally {
      if (this.#stop === stop) {
        this.#stop = null;
        this.bytes = null;
      }
    }
  }
}

export const handOn = new HandOn();
