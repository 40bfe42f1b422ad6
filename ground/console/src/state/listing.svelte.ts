// Which contacts the list shows, and in which order. The map is never filtered: what is hidden would be forgotten.
import type { Contact } from '../api/types';
import { ais } from '../ais/ais.svelte';
import { picture } from './picture.svelte';
import { preferences, type Sort } from './preferences.svelte';
import { view } from './view.svelte';

/** Newest first by first sighting, so that a row does not jump while someone reads it. */
const ORDERS: Record<Sort, (a: Contact, b: Contact) => number> = {
  newest: (a, b) => Date.parse(b.first_seen) - Date.parse(a.first_seen),
  lastSeen: (a, b) => Date.parse(b.last_seen) - Date.parse(a.last_seen),
  strongest: (a, b) => b.score - a.score,
  precise: (a, b) => (a.position?.ce90_m ?? Infinity) - (b.position?.ce90_m ?? Infinity) || 0,
};

/** True when every word of `search` occurs in the contact's label, id, model or platforms. */
export function matches(contact: Contact, search: string): boolean {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const haystack = [contact.label, contact.contact_id, contact.model_id, ...contact.platform_ids].join(' ').toLowerCase();
  return words.every((word) => haystack.includes(word));
}

class Listing {
  labels = $derived([...new Set(picture.contactList.map((contact) => contact.label))].sort());
  /** How many of each verdict of AIS there are; empty for a station that knows none. */
  verdicts = $derived.by(() => {
    const found = new Map<string, number>();
    for (const contact of picture.contactList) {
      const verdict = ais.ofContact(contact.contact_id)?.verdict;
      if (verdict) found.set(verdict, (found.get(verdict) ?? 0) + 1);
    }
    return found;
  });
  contacts = $derived.by(() => {
    const { search, label, verdict } = view;
    const order = ORDERS[preferences.sort];
    return picture.contactList
      .filter((contact) => (label === '' || contact.label === label) && (verdict === '' || ais.ofContact(contact.contact_id)?.verdict === verdict) && matches(contact, search))
      .sort((a, b) => order(a, b) || (a.contact_id < b.contact_id ? -1 : 1));
  });

  /** Selects the next (1) or previous (-1) contact of the list. */
  step(by: 1 | -1): void {
    const selected = view.selection?.kind === 'contact' ? view.selection.id : null;
    const at = this.contacts.findIndex((contact) => contact.contact_id === selected);
    const next = this.contacts[at < 0 ? 0 : Math.max(0, Math.min(this.contacts.length - 1, at + by))];
    if (!next) return;
    view.tab = 'contacts';
    view.select({ kind: 'contact', id: next.contact_id });
  }
}

export const listing = new Listing();
