// Checks what the ground sent before anything else sees it: types, finite numbers, ranges, lengths.
// A record that lacks what it cannot be shown without becomes `null`; the caller counts it, never hides it.
import type {
  Bearing,
  ClockDifference,
  Contact,
  Ellipse,
  FrameView,
  HealthCondition,
  LayerStyle,
  LinkFigures,
  LonLat,
  MapLayer,
  Platform,
  Plot,
  Pose,
  Position,
  Review,
  Sighting,
  StationStatus,
  Track,
  TrackStatus,
} from './types';

export type Fields = Record<string, unknown>;

const MAX_TEXT = 512;
const MAX_POINTS = 5000;

export function fields(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

// Control and direction-changing characters could make a label read as something that it is not.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function text(value: unknown, limit = MAX_TEXT): string | null {
  if (typeof value !== 'string' || value === '') return null;
  const clean = value.slice(0, limit).replace(UNPRINTABLE, '\ufffd');
  return clean === '' ? null : clean;
}

export function number(value: unknown, least = -1e12, most = 1e12): number | null {
  return typeof value === 'number' && Number.isFinite(value) && value >= least && value <= most ? value : null;
}

export function count(value: unknown): number {
  return number(value, 0, Number.MAX_SAFE_INTEGER) ?? 0;
}

export function time(value: unknown): string | null {
  const stamp = text(value, 40);
  return stamp !== null && Number.isFinite(Date.parse(stamp)) ? stamp : null;
}

export function list<T>(value: unknown, read: (item: unknown) => T | null, limit: number): T[] {
  if (!Array.isArray(value)) return [];
  const items: T[] = [];
  for (const entry of value.slice(0, limit)) {
    const item = read(entry);
    if (item !== null) items.push(item);
  }
  return items;
}

export function lonLat(value: unknown): LonLat | null {
  if (!Array.isArray(value)) return null;
  const longitude = number(value[0], -180, 180);
  const latitude = number(value[1], -90, 90);
  return longitude === null || latitude === null ? null : [longitude, latitude];
}

function ellipse(value: unknown): Ellipse | null {
  const raw = fields(value);
  const major = number(raw?.['semi_major_m'], 0);
  const minor = number(raw?.['semi_minor_m'], 0);
  const azimuth = number(raw?.['azimuth_deg'], -360, 360);
  if (major === null || minor === null || azimuth === null) return null;
  return { semi_major_m: major, semi_minor_m: minor, azimuth_deg: azimuth };
}

export function position(value: unknown): Position | null {
  const raw = fields(value);
  if (!raw) return null;
  const latitude = number(raw['latitude_deg'], -90, 90);
  const longitude = number(raw['longitude_deg'], -180, 180);
  const ce90 = number(raw['ce90_m'], 0);
  const le90 = number(raw['le90_m'], 0);
  if (latitude === null || longitude === null || ce90 === null || le90 === null) return null;
  return {
    latitude_deg: latitude,
    longitude_deg: longitude,
    alt_hae_m: number(raw['alt_hae_m']),
    ce90_m: ce90,
    le90_m: le90,
    surface: text(raw['surface'], 32) ?? '',
    ellipse: ellipse(raw['ellipse']),
  };
}

function bearing(value: unknown): Bearing | null {
  const raw = fields(value);
  if (!raw) return null;
  const azimuth = number(raw['azimuth_deg'], -360, 360);
  const sigma = number(raw['sigma_deg'], 0, 360);
  if (azimuth === null || sigma === null) return null;
  return {
    azimuth_deg: (azimuth + 360) % 360,
    elevation_deg: number(raw['elevation_deg'], -90, 90) ?? 0,
    sigma_deg: sigma,
    from: lonLat(raw['from']),
  };
}

function pose(value: unknown): Pose | null {
  const raw = fields(value);
  const at = time(raw?.['time']);
  if (!raw || at === null) return null;
  return {
    time: at,
    latitude_deg: number(raw['latitude_deg'], -90, 90),
    longitude_deg: number(raw['longitude_deg'], -180, 180),
    alt_hae_m: number(raw['alt_hae_m']),
    alt_msl_m: number(raw['alt_msl_m']),
    alt_rel_m: number(raw['alt_rel_m']),
    heading_deg: number(raw['heading_deg'], -720, 720),
    course_deg: number(raw['course_deg'], -720, 720),
    speed_mps: number(raw['speed_mps'], 0),
    climb_mps: number(raw['climb_mps']),
    reason: text(raw['reason']),
  };
}

function frame(value: unknown): FrameView | null {
  const raw = fields(value);
  const at = time(raw?.['time']);
  if (!raw || at === null) return null;
  return {
    time: at,
    sensor_id: text(raw['sensor_id'], 128) ?? '',
    frame_number: count(raw['frame_number']),
    footprint: list(raw['footprint'], lonLat, 64),
    frame_centre: lonLat(raw['frame_centre']),
    no_position_reason: text(raw['no_position_reason']),
  };
}

function values(value: unknown): Record<string, number> {
  const figures: Record<string, number> = Object.create(null) as Record<string, number>;
  for (const [name, raw] of Object.entries(fields(value) ?? {}).slice(0, 64)) {
    const figure = number(raw);
    const key = text(name, 64);
    if (figure !== null && key !== null) figures[key] = figure;
  }
  return figures;
}

function health(value: unknown): HealthCondition | null {
  const raw = fields(value);
  const component = text(raw?.['component'], 128);
  const state = raw?.['state'];
  if (!raw || component === null || (state !== 'ok' && state !== 'degraded' && state !== 'failed')) return null;
  return {
    component,
    condition: text(raw['condition'], 128) ?? '',
    state,
    text: text(raw['text']) ?? '',
    since: time(raw['since']) ?? '',
    time: time(raw['time']) ?? '',
    values: values(raw['values']),
  };
}

function link(value: unknown): LinkFigures {
  const raw = fields(value) ?? {};
  return {
    records: count(raw['records']),
    duplicates: count(raw['duplicates']),
    missing: count(raw['missing']),
    last_seq: number(raw['last_seq'], 0),
    delay_s: number(raw['delay_s']),
    bytes: count(raw['bytes']),
  };
}

function clock(value: unknown): ClockDifference | null {
  const raw = fields(value);
  const offset = number(raw?.['offset_s']);
  const bound = number(raw?.['bound_s'], 0);
  return offset === null || bound === null ? null : { offset_s: offset, bound_s: bound, is_doubtful: raw?.['is_doubtful'] === true };
}

/** A platform, or `null` without an id. */
export function decodePlatform(value: unknown, arrived_ms: number): Platform | null {
  const raw = fields(value);
  const id = text(raw?.['platform_id'], 128);
  if (!raw || id === null) return null;
  return {
    platform_id: id,
    sortie_id: text(raw['sortie_id'], 128) ?? '',
    last_heard: time(raw['last_heard']),
    age_s: number(raw['age_s'], 0),
    link: link(raw['link']),
    clock: clock(raw['clock']),
    pose: pose(raw['pose']),
    frame: frame(raw['frame']),
    health: list(raw['health'], health, 256),
    trail: list(raw['trail'], lonLat, MAX_POINTS),
    arrived_ms,
    pose_arrived_ms: arrived_ms,
  };
}

export function decodeReview(value: unknown): Review {
  return value === 'confirmed' || value === 'rejected' || value === 'more' ? value : 'unreviewed';
}

const shortText = (value: unknown): string | null => text(value, 128);

/** A contact, or `null` without id, label, score or times. */
export function decodeContact(value: unknown): Contact | null {
  const raw = fields(value);
  const id = text(raw?.['contact_id'], 128);
  const first = time(raw?.['first_seen']);
  const last = time(raw?.['last_seen']);
  const score = number(raw?.['score'], 0, 1);
  if (!raw || id === null || first === null || last === null || score === null) return null;
  return {
    contact_id: id,
    label: text(raw['label'], 64) ?? '?',
    score,
    review: decodeReview(raw['review']),
    review_version: count(raw['review_version']),
    review_was: typeof raw['review_was'] === 'string' ? decodeReview(raw['review_was']) : null,
    reviewed_by: text(raw['reviewed_by'], 64),
    new_tracks: count(raw['new_tracks']),
    assignee: text(raw['assignee'], 64),
    first_seen: first,
    last_seen: last,
    platform_ids: list(raw['platform_ids'], shortText, 256),
    track_ids: list(raw['track_ids'], shortText, 256),
    sighting_count: count(raw['sighting_count']),
    position: position(raw['position']),
    bearing: bearing(raw['bearing']),
    no_position_reason: text(raw['no_position_reason']),
    course_deg: number(raw['course_deg'], -720, 720),
    speed_mps: number(raw['speed_mps'], 0),
    best_chip_id: text(raw['best_chip_id'], 128),
    model_id: text(raw['model_id'], 128) ?? '',
    is_exercise: raw['is_exercise'] === true,
    revision: count(raw['revision']),
  };
}

/** A sighting, or `null` without id, time or score. */
export function decodeSighting(value: unknown): Sighting | null {
  const raw = fields(value);
  const id = text(raw?.['sighting_id'], 128);
  const at = time(raw?.['time']);
  const score = number(raw?.['score'], 0, 1);
  if (!raw || id === null || at === null || score === null) return null;
  return {
    sighting_id: id,
    contact_id: text(raw['contact_id'], 128),
    track_id: text(raw['track_id'], 128) ?? '',
    platform_id: text(raw['platform_id'], 128) ?? '',
    sortie_id: text(raw['sortie_id'], 128) ?? '',
    sensor_id: text(raw['sensor_id'], 128) ?? '',
    frame_number: count(raw['frame_number']),
    time: at,
    label: text(raw['label'], 64) ?? '?',
    score,
    model_id: text(raw['model_id'], 128) ?? '',
    position: position(raw['position']),
    bearing: bearing(raw['bearing']),
    no_position_reason: text(raw['no_position_reason']),
    slant_range_m: number(raw['slant_range_m'], 0),
    chip_id: text(raw['chip_id'], 128),
    review: decodeReview(raw['review']),
    is_preview: raw['is_preview'] === true,
    position_doubt: text(raw['position_doubt'], 64),
  };
}

const STATUSES: readonly string[] = ['tentative', 'confirmed', 'coasting', 'dropped'] satisfies TrackStatus[];

/** A track, or `null` without id, status or time. */
export function decodeTrack(value: unknown, arrived_ms: number): Track | null {
  const raw = fields(value);
  const id = text(raw?.['track_id'], 128);
  const at = time(raw?.['time']);
  const status = raw?.['status'];
  if (!raw || id === null || at === null || typeof status !== 'string' || !STATUSES.includes(status)) return null;
  return {
    track_id: id,
    platform_id: text(raw['platform_id'], 128) ?? '',
    sensor_id: text(raw['sensor_id'], 128) ?? '',
    status: status as TrackStatus,
    label: text(raw['label'], 64) ?? '?',
    score: number(raw['score'], 0, 1) ?? 0,
    time: at,
    first: time(raw['first']) ?? at,
    look_count: count(raw['look_count']),
    position: position(raw['position']),
    course_deg: number(raw['course_deg'], -720, 720),
    speed_mps: number(raw['speed_mps'], 0),
    contact_id: text(raw['contact_id'], 128),
    trail: list(raw['trail'], lonLat, MAX_POINTS),
    arrived_ms,
  };
}

/** The station's own status, or `null` without its clock. */
export function decodeStatus(value: unknown): StationStatus | null {
  const raw = fields(value);
  const now = time(raw?.['now']);
  if (!raw || now === null) return null;
  const counts = fields(raw['counts']) ?? {};
  return {
    version: text(raw['version'], 64) ?? '',
    now,
    is_exercise: raw['is_exercise'] === true,
    revision: count(raw['revision']),
    started: text(raw['started'], 40) ?? '',
    counts: {
      platforms: count(counts['platforms']),
      contacts: count(counts['contacts']),
      sightings: count(counts['sightings']),
      chips: count(counts['chips']),
    },
    notices: list(raw['notices'], (item) => text(item), 20),
  };
}

/** A piece of land with its area and 90 % interval, or `null` when it cannot be drawn. */
export function decodePlot(value: unknown): Plot | null {
  const raw = fields(value);
  const shape = fields(raw?.['geometry']);
  const said = fields(raw?.['properties']);
  const id = text(raw?.['id'], 128);
  if (!raw || !shape || !said || id === null) return null;
  const polygon = (rings: unknown): LonLat[][] => list(rings, (ring) => (Array.isArray(ring) ? list(ring, lonLat, 2048) : null), 64);
  const polygons =
    shape['type'] === 'Polygon'
      ? [polygon(shape['coordinates'])]
      : shape['type'] === 'MultiPolygon'
        ? list(shape['coordinates'], (one) => polygon(one), 4)
        : [];
  if (polygons.length === 0 || polygons.some((rings) => (rings[0]?.length ?? 0) < 4)) return null;
  const range = Array.isArray(said['area_90_m2']) ? (said['area_90_m2'] as unknown[]) : [];
  return {
    plot_id: id,
    label: text(said['label'], 64) ?? '?',
    area_m2: number(said['area_m2'], 0),
    area_low_m2: number(range[0], 0),
    area_high_m2: number(range[1], 0),
    is_complete: said['is_complete'] === true,
    review: decodeReview(said['review']),
    polygons,
  };
}

const COLOR = /^#[0-9a-fA-F]{3,8}$/;
const ROLES: readonly string[] = ['land', 'water', 'line', 'hillshade'];

function layerStyle(value: unknown): LayerStyle {
  const raw = fields(value) ?? {};
  const color = text(raw['color'], 9);
  const role = raw['role'];
  return {
    role: typeof role === 'string' && ROLES.includes(role) ? (role as NonNullable<LayerStyle['role']>) : null,
    color: color !== null && COLOR.test(color) ? color : null,
    fill_opacity: number(raw['fill_opacity'], 0, 1),
    line_width: number(raw['line_width'], 0, 20),
    opacity: number(raw['opacity'], 0, 1),
    tiles: raw['tiles'] === 'raster' || raw['tiles'] === 'terrain' ? raw['tiles'] : 'vector',
    layers: list(raw['layers'], (item) => text(item, 128), 50),
  };
}

/** True for an address on this very server; nothing else is ever fetched. */
export function isLocalUrl(url: string, origin: string): boolean {
  try {
    return new URL(url, `${origin}/`).origin === origin;
  } catch {
    return false;
  }
}

/** A map layer, or `null` when it is of no known kind or lies on another machine. */
export function decodeLayer(value: unknown, origin: string): MapLayer | null {
  const raw = fields(value);
  const name = text(raw?.['name'], 128);
  const url = text(raw?.['url'], 1024);
  const kind = raw?.['kind'];
  if (!raw || name === null || url === null || !isLocalUrl(url, origin)) return null;
  if (kind !== 'geojson' && kind !== 'image' && kind !== 'tiles') return null;
  const corners = list(raw['coordinates'], lonLat, 4);
  if (kind === 'image' && corners.length !== 4) return null;
  return {
    name,
    title: text(raw['title'], 128) ?? name,
    kind,
    url: new URL(url, `${origin}/`).href,
    coordinates: corners.length === 4 ? (corners as [LonLat, LonLat, LonLat, LonLat]) : null,
    style: layerStyle(raw['style']),
  };
}
