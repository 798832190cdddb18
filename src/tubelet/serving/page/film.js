const STILL = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * The video, and the moment that is shown of it. A file that the browser cannot play has moments all the same: the
 * server reads more formats than browsers do.
 */
export class Film {
  /** Called with a moment, and whether it plays. */
  moved = () => {};
  plays = false;
  #video; #note;
  #now = 0;
  #fresh = true;
  #wanted = false;
  #address = "";

  constructor(video, note) {
    this.#video = video;
    this.#note = note;
    const heard = () => {
      if (this.plays) this.#at(video.currentTime);
    };
    for (const name of ["timeupdate", "seeking", "seeked", "pause", "ended"]) video.addEventListener(name, heard);
    video.addEventListener("loadedmetadata", () => {
      if (video.videoWidth) this.#can(true);
      else this.#can(false, "This browser plays only the sound of this file.");
    });
    video.addEventListener("error", () => this.#can(false, "This browser cannot play this kind of file."));
    video.addEventListener("play", () => { this.#fresh = false; this.#follow(); });
  }

  get now() {
    return this.#now;
  }

  get playing() {
    return this.plays && !this.#video.paused && !this.#video.ended;
  }

  /** Seconds; 0 where the browser does not know. */
  get duration() {
    return this.plays && Number.isFinite(this.#video.duration) ? this.#video.duration : 0;
  }

  show(blob) {
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = URL.createObjectURL(blob);
    [this.plays, this.#now, this.#fresh, this.#wanted] = [false, 0, true, false];
    this.#video.hidden = false;
    this.#note.hidden = true;
    this.#video.src = this.#address;
  }

  /** Plays, without sound, what nobody has touched so far; as soon as the browser can. */
  begin() {
    this.#wanted = true;
    if (this.plays && this.#fresh && !STILL.matches) this.toggle();
  }

  seek(seconds) {
    this.#fresh = false;
    if (this.plays) this.#video.currentTime = this.duration ? Math.min(seconds, this.duration) : seconds;
    this.#at(seconds);
  }

  toggle() {
    this.#fresh = false;
    if (!this.plays) return;
    if (this.#video.paused) this.#video.play().catch(() => {}); // interrupted by a seek
    else this.#video.pause();
  }

  #at(seconds) {
    this.#now = seconds;
    this.moved(seconds, this.playing);
  }

  /** Moments between the events of the video, for a line that moves evenly. */
  #follow() {
    if (STILL.matches) return;
    const frame = () => {
      if (!this.playing) return;
      this.#at(this.#video.currentTime);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  #can(plays, why = "") {
    this.plays = plays;
    this.#video.hidden = !plays;
    this.#note.hidden = plays;
    this.#note.textContent = plays ? "" : `${why} The server reads more kinds: its answers are along the timeline.`;
    this.#at(plays ? this.#video.currentTime : this.#now);
    if (this.#wanted) this.begin();
  }
}

