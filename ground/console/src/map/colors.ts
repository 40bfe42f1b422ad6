// The map's colours come from the same style sheet as the page (styles/tokens.css), read after the theme was set.
const NAMES = {
  background: '--map-background',
  land: '--map-land',
  landLine: '--map-land-line',
  water: '--map-water',
  grid: '--map-grid',
  ink: '--ink',
  muted: '--muted',
  halo: '--map-halo',
  platform: '--platform',
  contact: '--contact',
  contactFill: '--map-contact-fill',
  track: '--track',
  accent: '--accent',
  bad: '--bad',
  zone: '--zone',
  ais: '--ais',
} as const;

export type MapColors = Record<keyof typeof NAMES, string>;

export function readColors(): MapColors {
  const style = getComputedStyle(document.documentElement);
  const entries = Object.entries(NAMES).map(([name, property]) => [name, style.getPropertyValue(property).trim()]);
  return Object.fromEntries(entries) as MapColors;
}
