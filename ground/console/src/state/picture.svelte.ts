// The picture: what the ground knows, as this page last heard it.
// Events change plain maps at any rate; lists and map are told at a bounded rate, so that a burst costs one redraw.
import { decodeContact, decodePlatform, decodeSighting, decodeStatus, decodeTrack } from '../api/decode';
import type { Snapshot } from '../api/client';
import type { ServerEvent } from '../api/sse';
import type { Contact, Platform, Sighting, StationStatus, Track } from '../api/types';

export type LinkPhase = 'loading' | 'live' | 'lost';
export type Kind = 'platforms' | 'contacts' | 'tracks';

/** Lists follow at most this often; the map has its own, faster beat. */
const LIST_BEAT_MS = 250;
/** A pose comes twice a second; older than ten periods is stale (glossary). */
export const STALE_S = 5;
export const LOST_S = 60;
/** A track that nobody spoke of for so long has been forgotten without a word, aboard or by the ground. */
const FORGOTTEN_TRACK_S = 60;

export class Picture {
  readonly platforms = new Map<string, Platform>();
  readonly contacts = new Map<string, Contact>();
  readonly tracks = new Map<string, Track>();

  platformList = $state.raw<Platform[]>([]);
  contactList = $state.raw<Contact[]>([]);
  trackCount = $state(0);
  status = $state.raw<StationStatus | null>(null);
  phase = $state<LinkPhase>('loading');
  refused = $state(0);
  /** Monotonic ms when the ground last said anything; null before the first word. */
  heardMs = $state<number | null>(null);

  #clockOffsetMs = 0;
  #heardMs: number | null = null;
  #stale = new Set<Kind>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #watchers = new Set<(kinds: Set<Kind>) => void>();
  #sightingWatchers = new Set<(sighting: Sighting) => void>();
  #others = new Map<string, (body: unknown) => void>();
  #reloadWatchers = new Set<() => void>();

  /** The ground's UTC now in UNIX ms, carried on by this machine's monotonic clock. */
  nowMs(): number {
    return this.#clockOffsetMs === 0 ? Date.now() : this.#clockOffsetMs + performance.now();
  }

  /** Calls back when kinds of things changed, at once and without a rate limit; returns how to stop. */
  watch(tell: (kinds: Set<Kind>) => void): () => void {
    this.#watchers.add(tell);
    return () => this.#watchers.delete(tell);
  }

  /** Seconds since a new pose of `platform` came; null when it has none. */
  poseAge(platform: Platform, monotonicMs: number): number | null {
    return platform.pose === null ? null : Math.max(0, monotonicMs - platform.pose_arrived_ms) / 1000;
  }

  /** Hands events of another name to whoever keeps such things; one listener for each name. */
  on(name: string, tell: (body: unknown) => void): () => void {
    this.#others.set(name, tell);
    return () => this.#others.delete(name);
  }

  /** Calls back whenever the whole picture was loaded: what else is kept must be loaded too. */
  onReload(tell: () => void): () => void {
    this.#reloadWatchers.add(tell);
    return () => this.#reloadWatchers.delete(tell);
  }

  watchSightings(tell: (sighting: Sighting) => void): () => void {
    this.#sightingWatchers.add(tell);
    return () => this.#sightingWatchers.delete(tell);
  }

  /** Seconds since `platform` was heard, counted on since this copy arrived; null when it never was. */
  platformAge(platform: Platform, monotonicMs: number): number | null {
    if (platform.age_s === null) return null;
    return platform.age_s + Math.max(0, monotonicMs - platform.arrived_ms) / 1000;
  }

  heard(): void {
    this.#heardMs = performance.now();
  }

  /** Publishes the time of the last word; called on the page's one-second beat. */
  beat(): void {
    this.heardMs = this.#heardMs;
    if (this.phase === 'live') this.#forgetTracks();
  }

  /** Takes the newest contacts while the first picture is still on its way, so that there is something to look at. */
  begin(newest: Contact[]): void {
    if (this.status !== null) return;
    fill(this.contacts, newest, (item) => item.contact_id);
    this.#changed('contacts');
  }

  /** Takes a whole new picture in place of the old one. */
  replace(snapshot: Snapshot): void {
    this.#setStatus(snapshot.status);
    for (const platform of snapshot.platforms) this.#keepPoseAge(platform);
    fill(this.platforms, snapshot.platforms, (item) => item.platform_id);
    fill(this.contacts, snapshot.contacts, (item) => item.contact_id);
    fill(this.tracks, snapshot.tracks, (item) => item.track_id);
    this.refused = snapshot.refused;
    this.heard();
    this.#changed('platforms', 'contacts', 'tracks');
    for (const tell of this.#reloadWatchers) tell();
  }

  /** Takes one event of the live feed; true when the whole picture must be loaded again. */
  apply(event: ServerEvent): boolean {
    if (event.name === 'resync') return true;
    let body: unknown;
    try {
      body = JSON.parse(event.data);
    } catch {
      this.refused += 1;
      return false;
    }
    if (event.name === 'contact') return this.#takeContact(body);
    if (event.name === 'platform') return this.#takePlatform(body);
    if (event.name === 'track') return this.#takeTrack(body);
    if (event.name === 'sighting') return this.#takeSighting(body);
    if (event.name === 'status') return this.#takeStatus(body);
    this.#others.get(event.name)?.(body);
    return false;
  }

  #takeContact(body: unknown): boolean {
    const contact = decodeContact(body);
    if (!contact) return this.#refuse();
    const known = this.contacts.get(contact.contact_id);
    if (known && known.revision > contact.revision) return false;
    this.contacts.set(contact.contact_id, contact);
    this.#changed('contacts');
    return false;
  }

  #takePlatform(body: unknown): boolean {
    const platform = decodePlatform(body, performance.now());
    if (!platform) return this.#refuse();
    this.#keepPoseAge(platform);
    this.platforms.set(platform.platform_id, platform);
    this.#changed('platforms');
    return false;
  }

  /** The same pose in a newer copy of its platform is not a newer pose. */
  #keepPoseAge(platform: Platform): void {
    const known = this.platforms.get(platform.platform_id);
    if (known?.pose && known.pose.time === platform.pose?.time) platform.pose_arrived_ms = known.pose_arrived_ms;
  }

  #takeTrack(body: unknown): boolean {
    const track = decodeTrack(body, performance.now());
    if (!track) return this.#refuse();
    if (track.status === 'dropped') this.tracks.delete(track.track_id);
    else this.tracks.set(track.track_id, track);
    this.#changed('tracks');
    return false;
  }

  #takeSighting(body: unknown): boolean {
    const sighting = decodeSighting(body);
    if (!sighting) return this.#refuse();
    for (const tell of this.#sightingWatchers) tell(sighting);
    return false;
  }

  #takeStatus(body: unknown): boolean {
    const status = decodeStatus(body);
    if (!status) return this.#refuse();
    const isAnotherStation = this.status !== null && this.status.started !== status.started;
    this.#setStatus(status);
    return isAnotherStation;
  }

  #refuse(): boolean {
    this.refused += 1;
    return false;
  }

  #setStatus(status: StationStatus): void {
    this.status = status;
    this.#clockOffsetMs = Date.parse(status.now) - performance.now();
  }

  #changed(...kinds: Kind[]): void {
    for (const kind of kinds) this.#stale.add(kind);
    const all = new Set(kinds);
    for (const tell of this.#watchers) tell(all);
    this.#timer ??= setTimeout(() => this.#publish(), LIST_BEAT_MS);
  }

  #publish(): void {
    this.#timer = null;
    if (this.#stale.has('platforms')) {
      this.platformList = [...this.platforms.values()].sort((a, b) => compare(a.platform_id, b.platform_id));
    }
    if (this.#stale.has('contacts')) this.contactList = [...this.contacts.values()];
    this.trackCount = this.tracks.size;
    this.#stale.clear();
  }

  /** A `dropped` that was lost on the radio must not leave a track standing for ever. */
  #forgetTracks(): void {
    const before = performance.now() - FORGOTTEN_TRACK_S * 1000;
    for (const track of this.tracks.values()) {
      if (track.arrived_ms > before) continue;
      this.tracks.delete(track.track_id);
      this.#changed('tracks');
    }
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function fill<T>(map: Map<string, T>, items: T[], key: (item: T) => string): void {
  map.clear();
  for (const item of items) map.set(key(item), item);
}

export const picture = new Picture();
