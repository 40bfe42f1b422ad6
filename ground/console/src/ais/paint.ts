// Puts AIS onto a MapLibre map: only what changed, and only while it is switched on.
import type { GeoJSONSource, Map as MapLibre } from 'maplibre-gl';
import { DiffedSource } from '../map/diffed';
import { picture } from '../state/picture.svelte';
import { view } from '../state/view.svelte';
import { ais } from './ais.svelte';
import type { Vessel } from './api';
import { placeFeatures, silentFeatures, trackFeatures, vesselFeature, type Places } from './features';
import { NAMED, NAMES_ZOOM } from './style';

const RINGS_MS = 500;

/** An age on a label changes once in a minute: until then the same feature is kept. */
interface Drawn {
  minute: number;
  isStale: boolean;
  feature: GeoJSON.Feature | null;
}

export class AisPainter {
  #ready = false;
  #marks = new DiffedSource();
  #rings = new DiffedSource();
  #silentTimer: ReturnType<typeof setTimeout> | null = null;
  #drawn = new WeakMap<Vessel, Drawn>();
  #isCrowded = false;
  #places: Places = { ids: [], at: [] };

  constructor(private readonly map: MapLibre) {}

  restart(): void {
    this.#ready = true;
    this.#marks.reset();
    this.#rings.reset();
    this.#isCrowded = false;
    this.paintVessels();
    this.paintSilent();
    this.paintTrack();
    this.showPlaces(this.#places);
  }

  suspend(): void {
    this.#ready = false;
  }

  stop(): void {
    this.#ready = false;
    if (this.#silentTimer !== null) clearTimeout(this.#silentTimer);
  }

  paintVessels(): void {
    if (!this.#ready) return;
    const features = new Map<string, GeoJSON.Feature>();
    for (const vessel of ais.vessels) {
      const feature = this.#featureOf(vessel);
      if (feature) features.set(vessel.mmsi, feature);
    }
    const source = this.map.getSource<GeoJSONSource>('ais');
    if (source) this.#marks.push(source, features);
    const crowded = features.size > NAMED;
    if (crowded !== this.#isCrowded && this.map.getLayer('ais-label')) {
      this.#isCrowded = crowded;
      this.map.setLayerZoomRange('ais-label', crowded ? NAMES_ZOOM : 0, 24);
    }
  }

  paintSilent(): void {
    if (!this.#ready || this.#silentTimer !== null) return;
    // Contacts move many times a second; their rings follow more calmly.
    this.#silentTimer = setTimeout(() => {
      this.#silentTimer = null;
      const source = this.#ready ? this.map.getSource<GeoJSONSource>('silent') : undefined;
      if (source) this.#rings.push(source, silentFeatures(picture.contacts, ais.standings));
    }, RINGS_MS);
  }

  paintTrack(): void {
    const wanted = view.selection?.kind === 'ais' ? view.selection.id : null;
    this.#set('aistracks', wanted !== null && ais.detail?.vessel.mmsi === wanted ? trackFeatures(ais.detail.tracks) : []);
  }

  showPlaces(places: Places): void {
    this.#places = places;
    this.#set('places', placeFeatures(places));
  }

  #featureOf(vessel: Vessel): GeoJSON.Feature | null {
    const seconds = ais.ageS(vessel);
    const [minute, isStale] = [Math.floor(seconds / 60), ais.isStale(vessel)];
    const known = this.#drawn.get(vessel);
    if (known && known.minute === minute && known.isStale === isStale) return known.feature;
    const feature = vesselFeature(vessel, seconds, isStale);
    this.#drawn.set(vessel, { minute, isStale, feature });
    return feature;
  }

  #set(name: string, features: GeoJSON.Feature[]): void {
    if (this.#ready) void this.map.getSource<GeoJSONSource>(name)?.setData({ type: 'FeatureCollection', features });
  }
}
