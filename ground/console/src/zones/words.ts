// A rule in plain words, so that whoever makes it sees what it will do.
import { hhmm, offsetName, type Hours } from '../alerts/hours';
import { distance, fixed } from '../format/quantity';
import { text } from '../text';
import type { Rule, Zone } from './api';

/** 45 s, 5 min, 2 h: the largest unit that leaves no rest. */
export function span(seconds: number): string {
  if (seconds >= 3600 && seconds % 3600 === 0) return `${seconds / 3600} h`;
  if (seconds >= 60 && seconds % 60 === 0) return `${seconds / 60} min`;
  return `${Math.round(seconds)} s`;
}

const spans = (hours: readonly Hours[]): string => hours.map((one) => `${hhmm(one.from)}–${hhmm(one.until)}`).join(text.watch.rules.say.or);
const mps = (value: number): string => `${fixed(value, value % 1 === 0 ? 0 : 1)} m/s (${fixed(value * 1.943844, 0)} kn)`;
const quoted = (name: string): string => text.watch.rules.say.quoted(name);

function where(rule: Rule, zones: ReadonlyMap<string, Pick<Zone, 'name'>>): string {
  const say = text.watch.rules.say;
  if (rule.trigger === 'anywhere') return say.anywhere;
  const named = rule.zone_ids.map((id) => zones.get(id)).map((zone) => (zone ? quoted(zone.name) : say.gone));
  const all = rule.rule_id === 'exclusion' ? say.exclusionZones : rule.trigger === 'crosses' ? say.allLines : say.allAreas;
  return say[rule.trigger](named.length > 0 ? named.join(say.or) : all);
}

function speeds(rule: Rule): string[] {
  const say = text.watch.rules.say;
  const { min_speed_mps: low, max_speed_mps: high } = rule;
  if (low !== null && high !== null) return [say.speedBoth(mps(low), mps(high))];
  if (low !== null) return [say.speedLeast(mps(low))];
  return high === null ? [] : [say.speedMost(mps(high))];
}

/** Sentences: what fires, then what goes with it. */
export function inWords(rule: Rule, zones: ReadonlyMap<string, Pick<Zone, 'name'>>): string[] {
  const words = text.watch;
  const say = words.rules.say;
  const zone = offsetName(rule.utc_offset_min);
  const conditions = [
    ...(rule.dwell_s > 0 ? [say.dwell(span(rule.dwell_s))] : []),
    ...(rule.trigger === 'anywhere' ? [] : [say.sure(`${fixed(rule.min_probability * 100, rule.min_probability * 100 % 1 === 0 ? 0 : 1)} %`)]),
    ...(rule.min_looks > 1 ? [say.looks(rule.min_looks)] : []),
    ...(rule.min_score > 0 ? [say.score(rule.min_score.toFixed(2))] : []),
    ...(rule.max_ce90_m === null ? [] : [say.ce90(distance(rule.max_ce90_m))]),
    ...speeds(rule),
    ...(rule.light === 'any' ? [] : [say[rule.light]]),
    ...(rule.ais.length > 0 ? [say.ais(rule.ais.map((word) => words.ais.shorts[word] ?? word).join(say.or))] : []),
    ...(rule.hours.length > 0 ? [say.hours(spans(rule.hours), zone)] : []),
  ];
  const who = rule.labels.length > 0 ? say.labels(rule.labels.map(quoted).join(say.or)) : say.anything;
  const first = `${say.begin(words.alerts.severities[rule.severity])} ${who} ${where(rule, zones)}${conditions.map((one) => say.and + one).join('')}.`;
  return [
    ...(rule.is_on ? [] : [say.off]),
    first,
    ...(rule.quiet.length > 0 ? [say.quiet(spans(rule.quiet), zone)] : []),
    ...(rule.escalate_after_s > 0 ? [say.escalate(span(rule.escalate_after_s))] : []),
    say.again(span(rule.again_after_s)),
    ...(rule.to_pilot ? [say.pilot] : []),
  ];
}
