// The vessels on AIS that the map shows now, and what AIS says of each contact in a word; asked for every few seconds.
import { account } from '../state/account.svelte';
import { picture } from '../state/picture.svelte';
import { preferences } from '../state/preferences.svelte';
import { view } from '../state/view.svelte';
import { fetchVessel, readStandings, readVessels, Tagged, type Standing, type Vessel, type VesselTrack } from './api';

const EVERY_MS = 4_000;
/** With many in sight the ground is asked half as often. */
const MANY = 300;
const MANY_EVERY_MS = 8_000;
const VERDICTS_EVERY_MS = 10_000;
const PENDING_MS = 2_500;
const MOVED_MS = 300;
/** Beside what is in sight this share of it is asked for too, so that a small move shows no gap. */
const MARGIN = 0.25;
export const MOST = 1_000;
/** What was not heard for so long is asked for no more. */
const KEPT_MS = 6 * 3_600_000;
/** Faded from here on: five of its slowest usual intervals under way (3 min at anchor, 30 s for class B). */
export const STALE_S = 900;

export interface Detail {
  vessel: Vessel;
  tracks: VesselTrack[];
}

class Ais {
  vessels = $state.raw<Vessel[]>([]);
  /** How many there are in sight; more than are shown when the limit was reached. */
  matched = $state(0);
  /** Whether the ground has answered at all: before, nothing is known, and that is not nothing. */
  hasLooked = $state(false);
  standings = $state.raw<Map<string, Standing>>(new Map());
  pending = $state(0);
  trouble = $state(false);
  detail = $state.raw<Detail | null>(null);
  detailTrouble = $state(false);
  search = $state('');

  readonly mayHear = $derived(account.who?.permissions.includes('see_picture') ?? false);
  readonly mayJudge = $derived(account.who?.permissions.includes('see_contacts') ?? false);
  /** The list: what stands out first, then by name. */
  readonly listed = $derived.by(() => {
    const words = this.search.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (one: Vessel): boolean => {
      const hay = [one.mmsi, one.name, one.callsign, one.type, one.destination].join(' ').toLowerCase();
      return words.every((word) => hay.includes(word));
    };
    const weight = (one: Vessel): number => (one.flags.length > 0 ? 2 : 0) + (one.doubts.length > 0 ? 1 : 0);
    return this.vessels.filter(fits).sort((a, b) => weight(b) - weight(a) || (a.name ?? a.mmsi).localeCompare(b.name ?? b.mmsi));
  });

  #vesselsOf = new Tagged();
  #standingsOf = new Tagged();
  #timers: ReturnType<typeof setTimeout>[] = [];
  #moved: ReturnType<typeof setTimeout> | null = null;
  #stopped = false;

  start(): void {
    this.#stopped = false;
    void this.#everyVessels();
    void this.#everyStandings();
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    if (this.#moved !== null) clearTimeout(this.#moved);
  }

  /** The map shows something else: look there soon, and not at every step of the way. */
  moved(): void {
    if (this.#moved !== null) clearTimeout(this.#moved);
    this.#moved = setTimeout(() => void this.lookForVessels(), MOVED_MS);
  }

  ofContact(contactId: string): Standing | null {
    return this.standings.get(contactId) ?? null;
  }

  byMmsi(mmsi: string): Vessel | null {
    return this.vessels.find((one) => one.mmsi === mmsi) ?? (this.detail?.vessel.mmsi === mmsi ? this.detail.vessel : null);
  }

  ageS(vessel: Vessel): number {
    return Math.max(0, (picture.nowMs() - Date.parse(vessel.placed ?? vessel.lastHeard)) / 1000);
  }

  isStale(vessel: Vessel): boolean {
    return this.ageS(vessel) > STALE_S;
  }

  async loadDetail(mmsi: string): Promise<void> {
    if (this.detail?.vessel.mmsi !== mmsi) this.detail = null;
    this.detailTrouble = false;
    try {
      const found = await fetchVessel(mmsi);
      if (view.selection?.kind === 'ais' && view.selection.id === mmsi) this.detail = found;
    } catch {
      if (view.selection?.kind === 'ais' && view.selection.id === mmsi) this.detailTrouble = true;
    }
  }

  async lookForVessels(): Promise<void> {
    const box = view.bounds;
    if (!this.mayHear || picture.phase !== 'live' || document.visibilityState !== 'visible') return;
    if (!preferences.overlays.ais && view.tab !== 'ais') return;
    const since = new Date(Math.floor((picture.nowMs() - KEPT_MS) / 600_000) * 600_000).toISOString();
    const asked = box === null ? '' : `&bbox=${widened(box).map((one) => one.toFixed(4)).join(',')}`;
    try {
      const body = await this.#vesselsOf.ask(`api/v1/ais/vessels?limit=${MOST}&since=${since}${asked}`);
      if (body !== null) ({ vessels: this.vessels, matched: this.matched } = readVessels(body));
      this.trouble = false;
      this.hasLooked = true;
    } catch {
      this.trouble = true;
    }
  }

  async lookForStandings(): Promise<void> {
    if (!this.mayJudge || picture.phase !== 'live' || document.visibilityState !== 'visible') return;
    try {
      const body = await this.#standingsOf.ask('api/v1/ais/verdicts?limit=5000');
      if (body === null) return;
      const { standings, pending } = readStandings(body);
      this.standings = new Map(standings.map((one) => [one.contactId, one]));
      this.pending = pending;
    } catch {
      // A station without it: no word is said, and no filter is offered.
    }
  }

  async #everyVessels(): Promise<void> {
    await this.lookForVessels();
    if (!this.#stopped) this.#timers[0] = setTimeout(() => void this.#everyVessels(), this.#pauseMs());
  }

  /** At the start, while the picture comes in, it is tried again soon. */
  #pauseMs(): number {
    if (!this.hasLooked) return PENDING_MS / 5;
    return this.vessels.length > MANY ? MANY_EVERY_MS : EVERY_MS;
  }

  async #everyStandings(): Promise<void> {
    await this.lookForStandings();
    if (!this.#stopped) this.#timers[1] = setTimeout(() => void this.#everyStandings(), this.pending > 0 ? PENDING_MS : VERDICTS_EVERY_MS);
  }
}

/** A box with a margin; one as wide as the Earth stays what it is. */
export function widened(box: [number, number, number, number]): [number, number, number, number] {
  const [west, south, east, north] = box;
  const [wide, tall] = [east - west, north - south];
  const [low, high] = [Math.max(-90, south - MARGIN * tall), Math.min(90, north + MARGIN * tall)];
  if (wide >= 360 / (1 + 2 * MARGIN)) return [-180, low, 180, high];
  return [wrapped(west - MARGIN * wide), low, wrapped(east + MARGIN * wide), high];
}

const wrapped = (longitude: number): number => ((((longitude + 180) % 360) + 360) % 360) - 180;

export const ais = new Ais();
