// The scene of now, as the terminal's program tells it; and card numbers that a keyboard-wedge reader types.
const text = (id, words) => { document.getElementById(id).textContent = words; };

function show(scene) {
  document.body.dataset.kind = scene.kind;
  text("name", scene.name || scene.num);
  text("zh", scene.zh);
  text("en", scene.en);
  text("more", [scene.more_zh, scene.more_en].filter(Boolean).join(" · "));
}

let socket;
function connect() {
  socket = new WebSocket(`ws://${location.host}/live`);
  socket.onmessage = (message) => {
    const said = JSON.parse(message.data);
    text("place", said.place);
    show(said.scene);
  };
  socket.onclose = () => {
    show({ kind: "starting", zh: "正在启动", en: "Starting", name: "", num: "", more_zh: "", more_en: "" });
    setTimeout(connect, 1000);
  };
}
connect();

const LONGEST = 128;
const PAUSE_MS = 500; // a reader types faster than any person
let typed = "";
let typedAt = 0;
document.addEventListener("keydown", (event) => {
  if (event.timeStamp - typedAt > PAUSE_MS) typed = "";
  typedAt = event.timeStamp;
  if (event.key === "Enter") {
    if (typed && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ card: typed }));
    typed = "";
  } else if (/^[0-9A-Za-z_]$/.test(event.key) && typed.length < LONGEST) {
    typed += event.key;
  }
});

const clock = () => text("clock", new Date().toLocaleTimeString("zh-CN", { hour: "2-digit", minute: "2-digit" }));
clock();
setInterval(clock, 1000);
