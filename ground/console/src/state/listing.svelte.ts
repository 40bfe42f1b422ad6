// Which contacts the list shows, and in which order. The map is never filtered: what is hidden would be forgotten.
import type { Contact } from '../api/types';
import { ais } from '../ais/ais.svelte';
import { picture } from './picture.svelte';
import { preferences, type Sort } from './preferences.svelte';
import { view } from './view.svelte';

/** What comes first has the smallest number. Newest by first sighting, so that a row does not jump while someone reads it. */
const RANKS: Record<Sort, (contact: Contact) => number> = {
  newest: (contact) => -Date.parse(contact.first_seen),
  lastSeen: (contact) => -Date.parse(contact.last_seen),
  strongest: (contact) => -contact.score,
  precise: (contact) => contact.position?.ce90_m ?? Number.MAX_VALUE,
};

/** `contacts` in this order; each one's rank is found once, not once for each comparison. */
export function sorted(contacts: Contact[], sort: Sort): Contact[] {
  const rank = RANKS[sort];
  return contacts
    .map((contact): [number, Contact] => [rank(contact), contact])
    .sort(([a, one], [b, other]) => a - b || (one.contact_id < other.contact_id ? -1 : 1))
    .map(([, contact]) => contact);
}

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
    const wanted = picture.contactList.filter(
      (contact) => (label === '' || contact.label === label) && (verdict === '' || ais.ofContact(contact.contact_id)?.verdict === verdict) && matches(contact, search),
    );
    return sorted(wanted, preferences.sort);
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
