// UTM of WGS 84, both ways, and the squares of MGRS. Krüger's series to the fourth order in the third flattening
// (Karney, "Transverse Mercator with an accuracy of a few nanometers", J. Geodesy 85, 2011, eq. 7 to 36): below 0.1 mm.
import { forward as mgrsOf, toPoint } from 'mgrs';

const A_M = 6_378_137;
const F = 1 / 298.257223563;
const E = Math.sqrt(F * (2 - F));
const N = F / (2 - F);
const RADIUS_M = (A_M / (1 + N)) * (1 + N ** 2 / 4 + N ** 4 / 64);
const SCALE = 0.9996;
const RAD = Math.PI / 180;

const ALPHA = [
  N / 2 - (2 / 3) * N ** 2 + (5 / 16) * N ** 3 + (41 / 180) * N ** 4,
  (13 / 48) * N ** 2 - (3 / 5) * N ** 3 + (557 / 1440) * N ** 4,
  (61 / 240) * N ** 3 - (103 / 140) * N ** 4,
  (49561 / 161280) * N ** 4,
];
const BETA = [
  N / 2 - (2 / 3) * N ** 2 + (37 / 96) * N ** 3 - (1 / 360) * N ** 4,
  (1 / 48) * N ** 2 + (1 / 15) * N ** 3 - (437 / 1440) * N ** 4,
  (17 / 480) * N ** 3 - (37 / 840) * N ** 4,
  (4397 / 161280) * N ** 4,
];
const BANDS = 'CDEFGHJKLMNPQRSTUVWX';

/** Where UTM and MGRS are defined; nearer to the poles there are other grids. */
export const inGrid = (latitude_deg: number): boolean => latitude_deg >= -80 && latitude_deg <= 84;

export interface Utm {
  zone: number;
  /** Letter of the latitude band, C to X. */
  band: string;
  easting_m: number;
  northing_m: number;
}

function zoneOf(latitude_deg: number, longitude_deg: number): number {
  const zone = Math.min(60, Math.floor((longitude_deg + 180) / 6) + 1);
  if (latitude_deg >= 56 && latitude_deg < 64 && zone === 31 && longitude_deg >= 3) return 32;
  if (latitude_deg >= 72 && longitude_deg >= 0 && longitude_deg < 42) return longitude_deg < 9 ? 31 : longitude_deg < 21 ? 33 : longitude_deg < 33 ? 35 : 37;
  return zone;
}

const bandOf = (latitude_deg: number): string => BANDS[Math.min(19, Math.floor((latitude_deg + 80) / 8))] ?? 'X';

function conformal(tau: number): number {
  const root = Math.hypot(1, tau);
  const sigma = Math.sinh(E * Math.atanh((E * tau) / root));
  return tau * Math.hypot(1, sigma) - sigma * root;
}

/** UTM of a place; null beyond 80° S and 84° N. */
export function utmOf(latitude_deg: number, longitude_deg: number): Utm | null {
  if (!inGrid(latitude_deg)) return null;
  const longitude = ((((longitude_deg + 180) % 360) + 360) % 360) - 180;
  const zone = zoneOf(latitude_deg, longitude);
  const lambda = (longitude - (zone * 6 - 183)) * RAD;
  const tau = conformal(Math.tan(latitude_deg * RAD));
  const xi0 = Math.atan2(tau, Math.cos(lambda));
  const eta0 = Math.asinh(Math.sin(lambda) / Math.hypot(tau, Math.cos(lambda)));
  let [xi, eta] = [xi0, eta0];
  ALPHA.forEach((alpha, index) => {
    const j = 2 * (index + 1);
    xi += alpha * Math.sin(j * xi0) * Math.cosh(j * eta0);
    eta += alpha * Math.cos(j * xi0) * Math.sinh(j * eta0);
  });
  const northing_m = SCALE * RADIUS_M * xi + (latitude_deg < 0 ? 10_000_000 : 0);
  return { zone, band: bandOf(latitude_deg), easting_m: 500_000 + SCALE * RADIUS_M * eta, northing_m };
}

/** Latitude and longitude of a point of UTM, in degrees. */
export function placeOfUtm(zone: number, isSouth: boolean, easting_m: number, northing_m: number): [number, number] {
  const xi0 = (northing_m - (isSouth ? 10_000_000 : 0)) / (SCALE * RADIUS_M);
  const eta0 = (easting_m - 500_000) / (SCALE * RADIUS_M);
  let [xi, eta] = [xi0, eta0];
  BETA.forEach((beta, index) => {
    const j = 2 * (index + 1);
    xi -= beta * Math.sin(j * xi0) * Math.cosh(j * eta0);
    eta -= beta * Math.cos(j * xi0) * Math.sinh(j * eta0);
  });
  const wanted = Math.sin(xi) / Math.hypot(Math.sinh(eta), Math.cos(xi));
  let tau = wanted;
  for (let round = 0; round < 5; round += 1) {
    const found = conformal(tau);
    const slope = ((1 - E ** 2) * Math.hypot(1, found) * Math.hypot(1, tau)) / (1 + (1 - E ** 2) * tau ** 2);
    tau += (wanted - found) / slope;
  }
  const longitude = zone * 6 - 183 + Math.atan2(Math.sinh(eta), Math.cos(xi)) / RAD;
  return [Math.atan(tau) / RAD, ((((longitude + 180) % 360) + 360) % 360) - 180];
}

/** MGRS with a square of 1 m, in groups; null outside the grid. Its metres are those of UTM, cut off as the standard says. */
export function mgrsText(latitude_deg: number, longitude_deg: number): string | null {
  const utm = utmOf(latitude_deg, longitude_deg);
  if (!utm) return null;
  const longitude = ((((longitude_deg + 180) % 360) + 360) % 360) - 180;
  const square = /^\d{1,2}[C-X]([A-Z]{2})/.exec(mgrsOf([longitude, latitude_deg], 5))?.[1];
  const last = (metres: number): string => String(Math.floor(metres + 1e-6) % 100_000).padStart(5, '0');
  return square ? `${utm.zone}${utm.band} ${square} ${last(utm.easting_m)} ${last(utm.northing_m)}` : null;
}

/** Latitude and longitude of the middle of a square of MGRS; null when there is no such square. */
export function placeOfMgrs(text: string): [number, number] | null {
  const plain = text.replace(/\s+/g, '').toUpperCase();
  const found = /^(\d{1,2})([C-HJ-NP-X])([A-HJ-NP-Z]{2})(\d{0,10})$/.exec(plain);
  if (!found || (found[4] ?? '').length % 2 !== 0 || Number(found[1]) < 1 || Number(found[1]) > 60) return null;
  try {
    const [longitude, latitude] = toPoint(plain);
    return Number.isFinite(latitude) && Number.isFinite(longitude) && inGrid(latitude) ? [latitude, longitude] : null;
  } catch {
    return null;
  }
}

/** UTM as it is written on maps, with the letter of the band. */
export function utmText(latitude_deg: number, longitude_deg: number): string | null {
  const found = utmOf(latitude_deg, longitude_deg);
  return found ? `${found.zone}${found.band} ${found.easting_m.toFixed(0)} ${found.northing_m.toFixed(0)}` : null;
}

/** Whether a northing agrees with the band that a letter names, so that S is the band and not "south". */
export function isInBand(band: string, latitude_deg: number): boolean {
  const south = -80 + 8 * BANDS.indexOf(band);
  return latitude_deg >= south - 0.5 && latitude_deg <= (band === 'X' ? 84 : south + 8) + 0.5;
}
