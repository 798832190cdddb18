"""Video files into clips of pixels."""

from tubelet.video.decode import Video as Video
