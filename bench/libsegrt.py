"""libsegrt from Python, as far as the benchmarks need it: the structures of segrt.h and a session with its model."""
import ctypes as c

PRECISIONS = {"float32": 1, "tf32": 2, "bfloat16": 3, "float16": 4, "int8": 5}


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("offset", c.c_uint64), ("file", c.c_char * 256), ("message", c.c_char * 512)]


class Image(c.Structure):
    _fields_ = [("format", c.c_int), ("width", c.c_int32), ("height", c.c_int32), ("plane", c.c_void_p * 3), ("stride", c.c_ssize_t * 3)]


class Preprocessing(c.Structure):
    _fields_ = [("size", c.c_size_t), ("resize", c.c_int), ("width", c.c_int32), ("height", c.c_int32), ("multiple", c.c_int32), ("resample", c.c_int),
                ("via_input", c.c_bool), ("window", c.c_int32), ("stride", c.c_int32), ("mean", c.c_float * 3), ("deviation", c.c_float * 3)]


class BuildOptions(c.Structure):
    _fields_ = [("size", c.c_size_t), ("precision", c.c_int), ("shapes", c.c_int32 * 9), ("command", c.c_char_p)]


class SessionOptions(c.Structure):
    _fields_ = [("size", c.c_size_t), ("device", c.c_char_p), ("precision", c.c_int), ("pool", c.c_void_p), ("threads", c.c_int32)]


class Result(c.Structure):
    _fields_ = [("size", c.c_size_t), ("labels", c.c_void_p), ("label_bytes", c.c_int32), ("label_stride", c.c_ssize_t), ("confidence", c.c_void_p),
                ("logits", c.c_void_p), ("input_width", c.c_int32), ("input_height", c.c_int32), ("prepare_ms", c.c_double), ("network_ms", c.c_double)]


class DeviceRun(c.Structure):
    _fields_ = [("size", c.c_size_t), ("n", c.c_int32), ("width", c.c_int32), ("height", c.c_int32), ("pixels", c.c_void_p), ("stride", c.c_ssize_t),
                ("picture_stride", c.c_ssize_t), ("labels", c.c_void_p), ("label_bytes", c.c_int32), ("label_stride", c.c_ssize_t),
                ("label_picture_stride", c.c_ssize_t), ("stream", c.c_void_p)]


class Failed(Exception):
    """What segrt says of a failure."""


class Session:
    """A model, its engine and a session on `device`."""

    def __init__(self, library, model, device, precision, threads=0):
        self.lib = c.CDLL(library)
        self.lib.segrt_session_device.restype = c.c_char_p
        self.lib.segrt_session_memory.restype = c.c_size_t
        self.error, self.model, self.engine, self.session = Error(), c.c_void_p(), c.c_void_p(), c.c_void_p()
        build = BuildOptions(size=c.sizeof(BuildOptions), precision=PRECISIONS[precision])
        options = SessionOptions(size=c.sizeof(SessionOptions), device=device.encode(), precision=PRECISIONS[precision], threads=threads)
        self.check(self.lib.segrt_model_open(c.byref(self.model), model.encode(), None, c.byref(self.error)))
        self.check(self.lib.segrt_engine_build(c.byref(self.engine), self.model, c.byref(build), c.byref(self.error)))
        self.check(self.lib.segrt_session_open(c.byref(self.session), self.engine, c.byref(options), c.byref(self.error)))
        self.device = self.lib.segrt_session_device(self.session).decode()

    def check(self, status):
        if status:
            raise Failed(self.error.message.decode())

    def close(self):
        self.lib.segrt_session_close(self.session)
        self.lib.segrt_engine_close(self.engine)
        self.lib.segrt_model_close(self.model)

    def memory(self):
        return self.lib.segrt_session_memory(self.session)

    def segment(self, pixels, labels, h, w):
        """pixels [h][w][3] and labels [h][w] of 8 bits: addresses in the host's memory.  The picture stays as it is."""
        image = Image(0, w, h, (c.c_void_p * 3)(pixels), (c.c_ssize_t * 3)(w * 3))
        as_it_is = Preprocessing(size=c.sizeof(Preprocessing), resize=1)
        result = Result(size=c.sizeof(Result), labels=labels)
        self.check(self.lib.segrt_session_segment(self.session, c.byref(image), c.byref(as_it_is), c.byref(result), c.byref(self.error)))

    def run_device(self, pixels, labels, n, h, w, stream):
        """pixels [n][h][w][3] and labels [n][h][w] of 8 bits: addresses in the device's memory.  Queued, not waited for."""
        run = DeviceRun(size=c.sizeof(DeviceRun), n=n, width=w, height=h, pixels=pixels, labels=labels, stream=stream)
        self.check(self.lib.segrt_session_run_device(self.session, c.byref(run), c.byref(self.error)))
