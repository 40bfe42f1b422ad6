// The shapes that the ground's HTTP API v1 speaks, after they were checked (see decode.ts).

export type LonLat = [number, number];
export type HealthState = 'ok' | 'degraded' | 'failed';
export type TrackStatus = 'tentative' | 'confirmed' | 'coasting' | 'dropped';

/** What people have said about a contact; "more" waits for another look. */
export type Review = 'unreviewed' | 'confirmed' | 'rejected' | 'more';
export type Decision = Exclude<Review, 'unreviewed'>;

/** The 90 % ellipse of a position: half axes in metres, azimuth of the major axis clockwise from true north. */
export interface Ellipse {
  semi_major_m: number;
  semi_minor_m: number;
  azimuth_deg: number;
}

export interface Position {
  latitude_deg: number;
  longitude_deg: number;
  alt_hae_m: number | null;
  ce90_m: number;
  le90_m: number;
  surface: string;
  ellipse: Ellipse | null;
}

export interface Bearing {
  azimuth_deg: number;
  elevation_deg: number;
  sigma_deg: number;
  from: LonLat | null;
}

export interface Pose {
  time: string;
  latitude_deg: number | null;
  longitude_deg: number | null;
  alt_hae_m: number | null;
  alt_msl_m: number | null;
  alt_rel_m: number | null;
  heading_deg: number | null;
  course_deg: number | null;
  speed_mps: number | null;
  climb_mps: number | null;
  reason: string | null;
}

export interface FrameView {
  time: string;
  sensor_id: string;
  frame_number: number;
  footprint: LonLat[];
  frame_centre: LonLat | null;
  no_position_reason: string | null;
}

export interface HealthCondition {
  component: string;
  condition: string;
  state: HealthState;
  text: string;
  since: string;
  time: string;
  values: Record<string, number>;
}

export interface LinkFigures {
  records: number;
  duplicates: number;
  missing: number;
  last_seq: number | null;
  delay_s: number | null;
  bytes: number;
}

/** The platform's clock minus the ground's: within `bound_s` of `offset_s`. */
export interface ClockDifference {
  offset_s: number;
  bound_s: number;
  is_doubtful: boolean;
}

export interface Platform {
  platform_id: string;
  sortie_id: string;
  /** `null`: known from an earlier run, not heard in this one. */
  last_heard: string | null;
  age_s: number | null;
  link: LinkFigures;
  clock: ClockDifference | null;
  pose: Pose | null;
  frame: FrameView | null;
  health: HealthCondition[];
  trail: LonLat[];
  /** Local monotonic milliseconds when this copy reached the page; ages count on from here. */
  arrived_ms: number;
  /** The same for the pose inside: a platform may be heard while its telemetry is silent. */
  pose_arrived_ms: number;
}

export interface Contact {
  contact_id: string;
  label: string;
  score: number;
  review: Review;
  /** Goes back with a decision, so that nobody's word is overwritten. */
  review_version: number;
  /** What it was before tracks joined that nobody has decided about. */
  review_was: Review | null;
  reviewed_by: string | null;
  new_tracks: number;
  assignee: string | null;
  first_seen: string;
  last_seen: string;
  platform_ids: string[];
  track_ids: string[];
  sighting_count: number;
  position: Position | null;
  bearing: Bearing | null;
  no_position_reason: string | null;
  course_deg: number | null;
  speed_mps: number | null;
  best_chip_id: string | null;
  model_id: string;
  is_exercise: boolean;
  revision: number;
}

export interface Sighting {
  sighting_id: string;
  contact_id: string | null;
  track_id: string;
  platform_id: string;
  sortie_id: string;
  sensor_id: string;
  frame_number: number;
  time: string;
  label: string;
  score: number;
  model_id: string;
  position: Position | null;
  bearing: Bearing | null;
  no_position_reason: string | null;
  slant_range_m: number | null;
  chip_id: string | null;
  review: Review;
  /** Came over a thin link: coarse and without proof, until the record itself is here. */
  is_preview: boolean;
  /** Why the platform's own position was suspect when the place was found. */
  position_doubt: string | null;
}

export interface Track {
  track_id: string;
  platform_id: string;
  sensor_id: string;
  status: TrackStatus;
  label: string;
  score: number;
  time: string;
  first: string;
  look_count: number;
  position: Position | null;
  course_deg: number | null;
  speed_mps: number | null;
  contact_id: string | null;
  trail: LonLat[];
  /** Local monotonic milliseconds when this copy reached the page. */
  arrived_ms: number;
}

export interface StationStatus {
  version: string;
  now: string;
  is_exercise: boolean;
  revision: number;
  started: string;
  counts: { platforms: number; contacts: number; sightings: number; chips: number };
  notices: string[];
}

/** Paint that a layer may ask for; anything else in `style` is ignored. */
export interface LayerStyle {
  role: 'land' | 'water' | 'line' | 'hillshade' | null;
  color: string | null;
  fill_opacity: number | null;
  line_width: number | null;
  opacity: number | null;
  /** Of tiles: pictures, elevations or shapes, and the names of the layers of shapes. */
  tiles: 'vector' | 'raster' | 'terrain';
  layers: string[];
}

export interface MapLayer {
  name: string;
  title: string;
  kind: 'geojson' | 'image' | 'tiles';
  url: string;
  coordinates: [LonLat, LonLat, LonLat, LonLat] | null;
  style: LayerStyle;
}

/** A piece of land that a platform outlined; areas are those of the part that was seen. */
export interface Plot {
  plot_id: string;
  label: string;
  area_m2: number | null;
  area_low_m2: number | null;
  area_high_m2: number | null;
  is_complete: boolean;
  review: Review;
  polygons: LonLat[][][];
}
