
(() => {
  const place = document.querySelector(".videos");
  if (!place) return;
  const clips = Array.from(place.querySelectorAll("video")), button = place.querySelector(".pause");
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const seen = () => clips.filter((video) => video.offsetParent !== null);
  const play = () => {
    for (const video of clips) video.pause();
    for (const video of seen()) {
      video.currentTime = 0;
      if (playing) video.play().catch(() => {});
    }
    button.textContent = playing ? "Pause" : "Play";
  };
  for (const video of clips) video.controls = false;
  button.hidden = false;
  button.addEventListener("click", () => { playing = !playing; play(); });
  for (const pick of place.querySelectorAll(".chosen")) pick.addEventListener("change", play);
  play();
})();
