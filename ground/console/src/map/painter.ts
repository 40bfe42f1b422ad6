// Puts the picture onto a MapLibre map: at most ten times a second, and only what changed.
import type { GeoJSONSource, Map as MapLibre } from 'maplibre-gl';
import type { Contact, Platform, Plot, Track } from '../api/types';
import { ais } from '../ais/ais.svelte';
import { text } from '../text';
import { age } from '../format/time';
import { STALE_S, type Kind, type Picture } from '../state/picture.svelte';
import type { Selection } from '../state/view.svelte';
import { DiffedSource } from './diffed';
import { contactFeatures, lonLatOf, platformFeatures, platformPoint, plotFeature, selectedWedge, trackFeatures, type ContactFeatures } from './features';
import { destination } from './geometry';
import type { SourceName } from './style';

/** The map follows at most ten times a second; on a slow machine less, so that it stays usable. */
const BEAT_MS = 100;
const SLOWEST_BEAT_MS = 1_500;
/** Of the time between two redraws, at most this share goes into drawing. */
const DRAWING_SHARE = 0.3;
/** With more contacts than this, names appear only from a closer zoom on. */
const CROWD = 400;
const CROWD_ZOOM = 15;

export class Painter {
  #dirty = new Set<Kind | 'selected'>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #known = new WeakMap<Contact, ContactFeatures>();
  #marks = new DiffedSource();
  #areas = new DiffedSource();
  #ready = false;
  #beatMs = BEAT_MS;
  #crowded = false;
  #empty = new Set<SourceName>();
  selection: Selection | null = null;
  #plots: Plot[] = [];
  /** Called after platforms were drawn, for the map that follows one. */
  onPlatforms: (() => void) | null = null;

  constructor(
    private readonly map: MapLibre,
    private readonly picture: Picture,
  ) {}

  /** A new style came: everything has to be drawn again. */
  restart(): void {
    this.#ready = true;
    this.#marks.reset();
    this.#areas.reset();
    this.#empty.clear();
    this.#crowded = false;
    this.mark(['platforms', 'contacts', 'tracks', 'selected']);
    this.showPlots(this.#plots);
  }

  /** Plots change seldom: they are drawn when they were fetched. */
  showPlots(plots: Plot[]): void {
    this.#plots = plots;
    if (this.#ready) this.#set('plots', plots.map(plotFeature));
  }

  /** The style goes away; nothing may be drawn until `restart`. */
  suspend(): void {
    this.#ready = false;
  }

  mark(kinds: Iterable<Kind | 'selected'>): void {
    for (const kind of kinds) this.#dirty.add(kind);
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#paint();
    }, this.#beatMs);
  }

  select(selection: Selection | null): void {
    this.selection = selection;
    this.mark(['selected']);
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#ready = false;
  }

  #paint(): void {
    if (!this.#ready) return;
    const dirty = new Set(this.#dirty);
    this.#dirty.clear();
    if (dirty.has('platforms')) this.#paintPlatforms();
    if (dirty.has('tracks') || dirty.has('platforms')) this.#paintTracks();
    if (dirty.has('contacts')) this.#paintContacts();
    this.#paintSelected();
    if (dirty.has('platforms')) this.onPlatforms?.();
    this.#pace();
  }

  /** Sets the next beat by how long this one takes until its second frame. */
  #pace(): void {
    const begun = performance.now();
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        const wanted = (performance.now() - begun) / DRAWING_SHARE;
        this.#beatMs = Math.max(BEAT_MS, Math.min(SLOWEST_BEAT_MS, (this.#beatMs + wanted) / 2));
      }),
    );
  }

  #source(name: SourceName): GeoJSONSource | undefined {
    return this.map.getSource<GeoJSONSource>(name);
  }

  #set(name: SourceName, features: GeoJSON.Feature[]): void {
    if (features.length === 0 && this.#empty.has(name)) return;
    if (features.length === 0) this.#empty.add(name);
    else this.#empty.delete(name);
    void this.#source(name)?.setData({ type: 'FeatureCollection', features });
  }

  isStale(platform: Platform): boolean {
    const nowMs = performance.now();
    const heard = this.picture.platformAge(platform, nowMs) ?? Infinity;
    return this.picture.phase === 'lost' || heard > STALE_S || (this.picture.poseAge(platform, nowMs) ?? 0) > STALE_S;
  }

  #paintPlatforms(): void {
    const nowMs = performance.now();
    const label = (platform: Platform): string => {
      const seconds = this.picture.platformAge(platform, nowMs);
      if (seconds === null) return `${platform.platform_id}\n${text.platforms.neverHeard}`;
      if (seconds > STALE_S) return `${platform.platform_id}\n${text.platforms.notHeardFor(age(seconds))}`;
      const poseSeconds = this.picture.poseAge(platform, nowMs) ?? 0;
      if (poseSeconds > STALE_S) return `${platform.platform_id}\n${text.platforms.positionOld(age(poseSeconds))}`;
      return platform.platform_id;
    };
    const drawn = platformFeatures(this.picture.platforms.values(), (platform) => this.isStale(platform), label);
    this.#set('platforms', drawn.points);
    this.#set('trails', drawn.trails);
    this.#set('footprints', drawn.footprints);
    this.#set('sightlines', drawn.sightlines);
  }

  #paintTracks(): void {
    const isStale = (track: Track): boolean => {
      const platform = this.picture.platforms.get(track.platform_id);
      return !platform || this.isStale(platform);
    };
    const drawn = trackFeatures(this.picture.tracks.values(), isStale);
    this.#set('tracks', drawn.points);
    this.#set('tracklines', drawn.lines);
  }

  #featuresOf(contact: Contact): ContactFeatures {
    let features = this.#known.get(contact);
    if (!features) this.#known.set(contact, (features = contactFeatures(contact)));
    return features;
  }

  #paintContacts(): void {
    const marks = new Map<string, GeoJSON.Feature>();
    const areas = new Map<string, GeoJSON.Feature>();
    const wedges: GeoJSON.Feature[] = [];
    const vectors: GeoJSON.Feature[] = [];
    for (const [id, contact] of this.picture.contacts) {
      const features = this.#featuresOf(contact);
      if (features.mark) marks.set(id, features.mark);
      if (features.uncertainty) areas.set(id, features.uncertainty);
      if (features.vector) vectors.push(features.vector);
      wedges.push(...features.wedge);
    }
    const [markSource, areaSource] = [this.#source('contacts'), this.#source('uncertainty')];
    if (markSource) this.#marks.push(markSource, marks);
    if (areaSource) this.#areas.push(areaSource, areas);
    this.#set('wedges', wedges);
    this.#set('vectors', vectors);
    this.#thinOut(marks.size > CROWD);
  }

  #thinOut(crowded: boolean): void {
    if (crowded === this.#crowded) return;
    this.#crowded = crowded;
    this.map.setLayerZoomRange('contact-label', crowded ? CROWD_ZOOM : 0, 24);
    this.map.setLayoutProperty('contact-mark', 'icon-ignore-placement', crowded);
  }

  #paintSelected(): void {
    this.#set('selected', this.#selectedFeatures());
  }

  #selectedFeatures(): GeoJSON.Feature[] {
    const selection = this.selection;
    const ring = (at: [number, number]): GeoJSON.Feature => ({
      type: 'Feature',
      properties: { id: 'ring' },
      geometry: { type: 'Point', coordinates: at },
    });
    if (selection?.kind === 'contact') {
      const contact = this.picture.contacts.get(selection.id);
      if (!contact) return [];
      const features = this.#featuresOf(contact);
      if (contact.position) return [ring(lonLatOf(contact.position)), ...(features.uncertainty ? [features.uncertainty] : [])];
      return selectedWedge(contact);
    }
    if (selection?.kind === 'track') {
      const track = this.picture.tracks.get(selection.id);
      return track?.position ? [ring(lonLatOf(track.position))] : [];
    }
    if (selection?.kind === 'ais') {
      const vessel = ais.byMmsi(selection.id);
      return vessel?.place ? [ring(vessel.place)] : [];
    }
    if (selection?.kind === 'plot') {
      const plot = this.#plots.find((one) => one.plot_id === selection.id);
      return plot ? [plotFeature(plot)] : [];
    }
    const platform = selection ? this.picture.platforms.get(selection.id) : undefined;
    const at = platform ? platformPoint(platform) : null;
    return at ? [ring(at)] : [];
  }
}

/** Where to look for a contact: its position, or a point along its bearing; null when neither is known. */
export function placeOf(contact: Contact): [number, number] | null {
  if (contact.position) return lonLatOf(contact.position);
  const bearing = contact.bearing;
  return bearing?.from ? destination(bearing.from, bearing.azimuth_deg, 1500) : null;
}
