// A WebSocket that comes back by itself, with jitter so that a hall of screens does not return all at once.

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

export class Socket {
  // on: { open(socket), text(message), down(attempts), quiet()? }. A socket that says nothing for `silent` ms is
  // closed and opened again, unless quiet() says that it has nothing to say.
  constructor(path, on, silent) {
    Object.assign(this, { path, on, silent, attempts: 0, socket: null, watch: 0 });
    this.connect();
  }

  connect() {
    const at = new URL(this.path, location.href);
    at.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.socket = new WebSocket(at));
    socket.addEventListener("open", () => this.on.open(this));
    socket.addEventListener("message", (event) => this.heard(JSON.parse(event.data)));
    socket.addEventListener("close", () => socket === this.socket && this.fell());
    this.listen();
  }

  heard(message) {
    if (message.type !== "error") this.attempts = 0; // a server that turns us away is no connection
    this.listen();
    this.on.text(message);
  }

  // A dead network shows as silence, long before the browser notices.
  listen() {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => (this.on.quiet?.() ? this.listen() : this.socket.close()), this.silent);
  }

  fell() {
    clearTimeout(this.watch);
    this.attempts += 1;
    this.on.down(this.attempts);
    const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(this.attempts, 6));
    setTimeout(() => this.connect(), longest * (0.5 + Math.random() / 2));
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  send(data) {
    if (this.isOpen) this.socket.send(data);
  }
}
