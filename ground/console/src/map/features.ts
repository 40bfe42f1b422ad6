// From the picture to what the map draws: pure functions, GeoJSON out, no map library here.
import type { Contact, LonLat, Platform, Plot, Position, Track } from '../api/types';
import { fixed } from '../format/quantity';
import { text } from '../text';
import { contactGlyph } from './glyphs';
import { destination, ellipseRing, grow, wedgeRing, wedgeSides, type Box } from './geometry';

type Feature = GeoJSON.Feature;

/** A bearing says nothing about distance: its wedge is drawn this far, fading out in steps. */
const WEDGE_FAR_M = 4800;
const WEDGE_STEPS_M: readonly [number, number][] = [
  [0, 1200],
  [1200, 2400],
  [2400, 3600],
  [3600, WEDGE_FAR_M],
];
/** The vector of a moving thing shows where it will be after this time at its present speed. */
const VECTOR_S = 60;
/** Slower than this is noise, not motion. */
const LEAST_SPEED_MPS = 0.3;

export function lonLatOf(position: Position): LonLat {
  return [position.longitude_deg, position.latitude_deg];
}

export function platformPoint(platform: Platform): LonLat | null {
  const pose = platform.pose;
  return pose === null || pose.longitude_deg === null || pose.latitude_deg === null
    ? null
    : [pose.longitude_deg, pose.latitude_deg];
}

function point(id: string, at: LonLat, properties: GeoJSON.GeoJsonProperties): Feature {
  return { type: 'Feature', properties: { id, ...properties }, geometry: { type: 'Point', coordinates: at } };
}

function line(id: string, points: LonLat[], properties: GeoJSON.GeoJsonProperties = {}): Feature {
  return { type: 'Feature', properties: { id, ...properties }, geometry: { type: 'LineString', coordinates: points } };
}

function area(id: string, ring: LonLat[], properties: GeoJSON.GeoJsonProperties = {}): Feature {
  return { type: 'Feature', properties: { id, ...properties }, geometry: { type: 'Polygon', coordinates: [ring] } };
}

/** As in the lists: labels begin with a capital letter. */
function titled(label: string): string {
  return label.charAt(0).toUpperCase() + label.slice(1);
}

function closed(ring: LonLat[]): LonLat[] {
  const [first, last] = [ring[0], ring[ring.length - 1]];
  return first && last && (first[0] !== last[0] || first[1] !== last[1]) ? [...ring, first] : ring;
}

/** Where a thing at `at` will be in a minute; null when it does not move or nobody knows. */
export function vectorOf(at: LonLat, course_deg: number | null, speed_mps: number | null): LonLat[] | null {
  if (course_deg === null || speed_mps === null || speed_mps < LEAST_SPEED_MPS) return null;
  return [at, destination(at, course_deg, speed_mps * VECTOR_S)];
}

export interface PlatformFeatures {
  points: Feature[];
  trails: Feature[];
  footprints: Feature[];
  sightlines: Feature[];
}

/** Everything drawn for the platforms; `label` adds the age to the name of a stale one. */
export function platformFeatures(
  platforms: Iterable<Platform>,
  isStale: (platform: Platform) => boolean,
  label: (platform: Platform) => string,
): PlatformFeatures {
  const out: PlatformFeatures = { points: [], trails: [], footprints: [], sightlines: [] };
  for (const platform of platforms) {
    const id = platform.platform_id;
    const stale = isStale(platform);
    const at = platformPoint(platform);
    const heading = platform.pose?.heading_deg ?? null;
    if (at) {
      const icon = heading === null ? 'aircraft-unknown' : 'aircraft';
      out.points.push(point(id, at, { icon: stale ? `${icon}-stale` : icon, heading: heading ?? 0, label: label(platform), stale }));
    }
    if (platform.trail.length > 1) out.trails.push(line(id, at && !stale ? [...platform.trail, at] : platform.trail, { stale }));
    const frame = platform.frame;
    if (frame && frame.footprint.length > 2) out.footprints.push(area(id, closed(frame.footprint), { stale }));
    if (frame?.frame_centre && at) {
      out.sightlines.push(line(id, [at, frame.frame_centre], { stale }), point(id, frame.frame_centre, { stale }));
    }
  }
  return out;
}

export interface TrackFeatures {
  points: Feature[];
  lines: Feature[];
}

/** Tracks that are no contact get a mark; those that are one lend it their trail and vector only. */
export function trackFeatures(tracks: Iterable<Track>, isStale: (track: Track) => boolean): TrackFeatures {
  const out: TrackFeatures = { points: [], lines: [] };
  for (const track of tracks) {
    if (!track.position || track.status === 'dropped') continue;
    const at = lonLatOf(track.position);
    const stale = isStale(track);
    const isOwn = track.contact_id === null;
    if (isOwn) out.points.push(point(track.track_id, at, { icon: `track-${track.status}`, label: titled(track.label), stale }));
    const shared = { status: track.status, stale, contact: !isOwn };
    if (track.trail.length > 1) out.lines.push(line(track.track_id, track.trail, { ...shared, part: 'trail' }));
    const vector = vectorOf(at, track.course_deg, track.speed_mps);
    if (vector) out.lines.push(line(track.track_id, vector, { ...shared, part: 'vector' }));
  }
  return out;
}

/** What one contact puts on the map, by the source that it goes to; computed once per version of the contact. */
export interface ContactFeatures {
  mark: Feature | null;
  uncertainty: Feature | null;
  wedge: Feature[];
  vector: Feature | null;
}

export function contactFeatures(contact: Contact): ContactFeatures {
  const id = contact.contact_id;
  const glyph = contactGlyph(contact.label);
  if (contact.position) {
    const at = lonLatOf(contact.position);
    const { ellipse, ce90_m } = contact.position;
    const shape = ellipse ?? { semi_major_m: ce90_m, semi_minor_m: ce90_m, azimuth_deg: 0 };
    const vector = vectorOf(at, contact.course_deg, contact.speed_mps);
    return {
      mark: point(id, at, { icon: `${glyph}-${contact.review}`, label: titled(contact.label), score: contact.score }),
      uncertainty: area(id, ellipseRing(at, shape)),
      wedge: [],
      vector: vector ? line(id, vector) : null,
    };
  }
  const { bearing } = contact;
  if (!bearing?.from) return { mark: null, uncertainty: null, wedge: [], vector: null };
  const from = bearing.from;
  const wedge = WEDGE_STEPS_M.map(([near, far], step) => ({
    ...area(`${id}#${step}`, wedgeRing(bearing, from, near, far), { contact: id, step }),
  }));
  const axis = line(`${id}#axis`, [from, destination(from, bearing.azimuth_deg, WEDGE_FAR_M)], {
    contact: id,
    label: titled(contact.label),
  });
  return { mark: null, uncertainty: null, wedge: [...wedge, axis], vector: null };
}

/** How a selected bearing is marked: filled, with its two sides, without an end. */
export function selectedWedge(contact: Contact): Feature[] {
  const { bearing } = contact;
  if (!bearing?.from) return [];
  const [left, right] = wedgeSides(bearing, bearing.from, WEDGE_FAR_M);
  const ring = wedgeRing(bearing, bearing.from, 0, WEDGE_FAR_M);
  return [area('wedge', ring, { open: true }), line('left', left), line('right', right)];
}

/** The box that holds all that is known to be somewhere; null when nothing is. */
export function contentBox(platforms: Iterable<Platform>, contacts: Iterable<Contact>, tracks: Iterable<Track>): Box | null {
  let box: Box | null = null;
  for (const platform of platforms) {
    const at = platformPoint(platform);
    if (at) box = grow(box, at);
    for (const corner of platform.frame?.footprint ?? []) box = grow(box, corner);
    if (platform.frame?.frame_centre) box = grow(box, platform.frame.frame_centre);
  }
  for (const contact of contacts) {
    if (contact.position) box = grow(box, lonLatOf(contact.position));
    else if (contact.bearing?.from) box = grow(box, contact.bearing.from);
  }
  for (const track of tracks) if (track.position) box = grow(box, lonLatOf(track.position));
  return box;
}

/** A plot with its area and 90 % interval in hectares. */
export function plotFeature(plot: Plot): GeoJSON.Feature {
  const hectares = (area: number): string => fixed(area / 10_000, area < 100_000 ? 2 : 1);
  const { area_m2: area, area_low_m2: low, area_high_m2: high } = plot;
  const size = area === null ? '' : low === null || high === null ? `${hectares(area)} ha` : text.map.area90(hectares(area), hectares(low), hectares(high));
  return {
    type: 'Feature',
    properties: { id: plot.plot_id, label: `${titled(plot.label)}\n${size}`, complete: plot.is_complete },
    geometry: { type: 'MultiPolygon', coordinates: plot.polygons },
  };
}
