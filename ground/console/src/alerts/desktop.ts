// Notifications of the desktop: asked for by a button only, and never more than one per alert.
import { text } from '../text';
import type { Alert } from './api';

export type Permit = 'default' | 'granted' | 'denied' | 'none';

/** none: this browser, or a page without TLS, has no notifications. */
export function permit(): Permit {
  return typeof Notification === 'undefined' || !globalThis.isSecureContext ? 'none' : Notification.permission;
}

export async function askPermit(): Promise<Permit> {
  if (permit() !== 'default') return permit();
  try {
    return await Notification.requestPermission();
  } catch {
    return permit();
  }
}

/** Tells the desktop; `onOpen` when somebody clicks it. Where it cannot be shown, the page itself must do. */
export function tellDesktop(alert: Alert, onOpen: () => void): void {
  if (permit() !== 'granted') return;
  try {
    const words = text.watch.alerts;
    const note = new Notification(`${words.severities[alert.severity]}: ${alert.label}${alert.zoneName ? `, ${alert.zoneName}` : ''}`, {
      body: [alert.isExercise ? text.exercise : '', alert.ruleName, ...alert.why.slice(0, 2).map(words.reason)].filter(Boolean).join('\n'),
      tag: alert.alertId,
      requireInteraction: alert.severity === 'urgent',
      silent: true,
    });
    note.onclick = () => {
      window.focus();
      note.close();
      onOpen();
    };
  } catch {
    // Browsers of phones let only service workers do this.
  }
}
