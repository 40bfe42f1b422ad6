// Zones and rules as this page knows them, the one that is being drawn or changed, and the way back after a removal.
import { account } from '../state/account.svelte';
import { picture } from '../state/picture.svelte';
import { view } from '../state/view.svelte';
import { text } from '../text';
import type { LonLat } from '../api/types';
import { fetchRules, fetchZones, freshId, importZones, MOST_FILE_BYTES, putRule, putZone, removeRule, removeZone, type Rule, type Zone, type ZoneKind } from './api';
import { flaw, pointsOf, shapeOf, withPoint } from './drawing';

/** Others draw zones too; no event tells of it. */
const EVERY_MS = 30_000;
const UNDO_MS = 15_000;
export const USUAL_WIDTH_M = 500;

/** A zone before the ground has it: drawn on the map, changed in the form. */
export interface Draft {
  zoneId: string;
  kind: ZoneKind;
  name: string;
  width_m: number;
  points: LonLat[];
  /** The zone that it changes; null for a new one. */
  before: Zone | null;
  /** Points are being set on the map; false: the form is open. */
  isDrawing: boolean;
}

interface Removed {
  zone: Zone | null;
  rule: Rule | null;
  name: string;
}

class Zones {
  zones = $state.raw<Zone[]>([]);
  rules = $state.raw<Rule[]>([]);
  trouble = $state('');
  isLoading = $state(true);
  draft = $state<Draft | null>(null);
  chosenId = $state<string | null>(null);
  /** The rule in the form; null: none is open. */
  editing = $state<Rule | null>(null);
  editingIsNew = $state(false);
  busy = $state(false);
  note = $state('');
  removed = $state.raw<Removed | null>(null);

  readonly mayChange = $derived(account.who?.permissions.includes('review') ?? false);
  readonly flaw = $derived(this.draft === null ? null : flaw(this.draft));
  readonly byId = $derived(new Map(this.zones.map((zone) => [zone.zone_id, zone])));

  #timer: ReturnType<typeof setInterval> | null = null;
  #undoTimer: ReturnType<typeof setTimeout> | null = null;
  #stop: () => void = () => undefined;

  start(): void {
    this.#stop = picture.onReload(() => void this.load());
    this.#timer = setInterval(() => {
      if (picture.phase === 'live' && document.visibilityState === 'visible' && !this.busy) void this.load();
    }, EVERY_MS);
  }

  stop(): void {
    this.#stop();
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#undoTimer !== null) clearTimeout(this.#undoTimer);
  }

  async load(): Promise<void> {
    if (!account.who?.permissions.includes('see_contacts')) return;
    try {
      const [zones, rules] = await Promise.all([fetchZones(), fetchRules()]);
      // The same zones again are the same object: the map draws them once.
      if (JSON.stringify(zones) !== JSON.stringify(this.zones)) this.zones = zones;
      if (JSON.stringify(rules) !== JSON.stringify(this.rules)) this.rules = rules;
      this.trouble = '';
    } catch {
      this.trouble = text.watch.zones.failed;
    } finally {
      this.isLoading = false;
    }
  }

  /** Which rules are about a zone: those that name it, and those that name none and fit its kind. */
  rulesOf(zone: Pick<Zone, 'zone_id' | 'kind'>): Rule[] {
    return this.rules.filter((rule) => fits(rule, zone.kind) && (rule.zone_ids.length === 0 ? isMeantForAll(rule, zone.kind) : rule.zone_ids.includes(zone.zone_id)));
  }

  begin(kind: ZoneKind): void {
    this.note = '';
    this.draft = { zoneId: '', kind, name: '', width_m: USUAL_WIDTH_M, points: [], before: null, isDrawing: true };
  }

  change(zone: Zone): void {
    this.note = '';
    const points = pointsOf(zone);
    this.draft = { zoneId: zone.zone_id, kind: zone.kind, name: zone.name, width_m: zone.width_m || USUAL_WIDTH_M, points: points ?? [], before: zone, isDrawing: false };
    this.chosenId = zone.zone_id;
  }

  add(at: LonLat): void {
    if (this.draft?.isDrawing) this.draft.points = withPoint(this.draft.points, at);
  }

  move(index: number, at: LonLat): void {
    if (this.draft) this.draft.points = this.draft.points.map((point, here) => (here === index ? at : point));
  }

  takeBack(): void {
    if (this.draft) this.draft.points = this.draft.points.slice(0, -1);
  }

  /** The shape stands; the form asks for the rest. */
  finish(): boolean {
    if (!this.draft || this.flaw !== null) return false;
    this.draft.isDrawing = false;
    view.tab = 'alerts';
    view.shelf = 'zones';
    return true;
  }

  cancel(): void {
    this.draft = null;
    this.note = '';
  }

  /** Keeps the draft; true when the ground has it. */
  async save(): Promise<boolean> {
    const draft = this.draft;
    if (!draft) return false;
    const isWhole = draft.before !== null && pointsOf(draft.before) === null;
    if (!isWhole && this.flaw !== null) return false;
    const zone: Zone = {
      zone_id: draft.zoneId || freshId('z', draft.name),
      name: draft.name.trim(),
      kind: draft.kind,
      ...(isWhole && draft.before ? { polygons: draft.before.polygons, lines: draft.before.lines } : shapeOf($state.snapshot(draft))),
      width_m: draft.kind === 'corridor' ? draft.width_m : 0,
      source: draft.before?.source || text.watch.zones.drawnBy(account.who?.account ?? ''),
    };
    const isKept = await this.#do(() => putZone(zone, this.#token));
    if (isKept) {
      this.draft = null;
      this.chosenId = zone.zone_id;
    }
    return isKept;
  }

  /** Removes a zone; rules that name it let go of it first, and take it back with it. */
  async remove(zone: Zone): Promise<void> {
    const isGone = await this.#do(() => removeZone(zone.zone_id, this.#token));
    if (!isGone) return;
    if (this.draft?.zoneId === zone.zone_id) this.draft = null;
    this.#offerUndo({ zone, rule: null, name: zone.name });
  }

  async removeRule(rule: Rule): Promise<void> {
    if (await this.#do(() => removeRule(rule.rule_id, this.#token))) {
      this.editing = null;
      this.#offerUndo({ zone: null, rule, name: rule.name });
    }
  }

  async undo(): Promise<void> {
    const { removed } = this;
    if (!removed) return;
    const isBack = await this.#do(() => (removed.zone ? putZone(removed.zone, this.#token) : putRule(removed.rule as Rule, this.#token)));
    if (isBack) this.removed = null;
  }

  /** How many zones came out of a file; null when it was refused, and the note says why. */
  async takeFile(file: File, kind: ZoneKind, widthM: number): Promise<number | null> {
    if (file.size > MOST_FILE_BYTES) {
      this.note = text.watch.zones.tooLarge(MOST_FILE_BYTES / 1_000_000);
      return null;
    }
    let made: Zone[] = [];
    const isTaken = await this.#do(async () => {
      made = await importZones(file, kind, widthM, this.#token);
    });
    return isTaken ? made.length : null;
  }

  newRule(zoneId: string | null = null): void {
    const zone = zoneId === null ? undefined : this.byId.get(zoneId);
    this.note = '';
    this.editingIsNew = true;
    this.editing = {
      rule_id: '', name: '', trigger: zone?.kind === 'line' ? 'crosses' : 'inside', severity: 'warning', is_on: true, zone_ids: zone ? [zone.zone_id] : [], labels: [],
      min_score: 0, max_ce90_m: null, min_looks: 2, min_probability: 0.9, min_speed_mps: null, max_speed_mps: null, ais: [], light: 'any', hours: [], quiet: [],
      utc_offset_min: -new Date().getTimezoneOffset(), dwell_s: 0, again_after_s: 1800, escalate_after_s: 0, to_pilot: false,
    };
    view.tab = 'alerts';
    view.shelf = 'rules';
  }

  changeRule(rule: Rule): void {
    this.note = '';
    this.editingIsNew = false;
    this.editing = structuredClone(rule);
    view.tab = 'alerts';
    view.shelf = 'rules';
  }

  async saveRule(rule: Rule): Promise<boolean> {
    const named = { ...rule, name: rule.name.trim(), rule_id: rule.rule_id || freshId('r', rule.name) };
    const isKept = await this.#do(() => putRule(named, this.#token));
    if (isKept) this.editing = null;
    return isKept;
  }

  /** Has a rule name a zone, or no longer; a rule that names none is about all. */
  async bind(rule: Rule, zoneId: string, isBound: boolean): Promise<void> {
    const ids = isBound ? [...rule.zone_ids, zoneId] : rule.zone_ids.filter((id) => id !== zoneId);
    if (!isBound && ids.length === 0) {
      this.note = text.watch.zones.lastZone(rule.name);
      return;
    }
    await this.#do(() => putRule({ ...rule, zone_ids: ids }, this.#token));
  }

  get #token(): string {
    return account.who?.token ?? '';
  }

  #offerUndo(removed: Removed): void {
    this.removed = removed;
    if (this.#undoTimer !== null) clearTimeout(this.#undoTimer);
    this.#undoTimer = setTimeout(() => (this.removed = null), UNDO_MS);
  }

  /** One change at a time; what the ground says against it is shown. */
  async #do(act: () => Promise<void>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.note = '';
    try {
      await act();
      await this.load();
      return true;
    } catch (error) {
      this.note = (error instanceof Error && error.message) || text.watch.zones.notSaved;
      return false;
    } finally {
      this.busy = false;
    }
  }
}

function fits(rule: Rule, kind: ZoneKind): boolean {
  if (rule.trigger === 'anywhere' || kind === 'mute') return false;
  return (rule.trigger === 'crosses') === (kind === 'line');
}

/** The rule that nobody made is about exclusion zones alone; others that name no zone are about areas and corridors. */
function isMeantForAll(rule: Rule, kind: ZoneKind): boolean {
  if (rule.rule_id === 'exclusion') return kind === 'exclusion';
  return kind !== 'exclusion';
}

export const zones = new Zones();
