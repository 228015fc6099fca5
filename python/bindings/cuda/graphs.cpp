// SPDX-License-Identifier: Apache-2.0
// Objects of Python that live as long as CUDA graphs.
#include <mutex>
#include <vector>

#include "device_arrays.hpp"

namespace gossamer::python {
namespace {

/// Objects whose graph is gone. CUDA says so on a thread of its own, which must not wait for the
/// interpreter; the interpreter's main thread lets them go soon after.
struct Ended {
  std::mutex mutex;
  std::vector<PyObject*> objects;
  bool has_interpreter = true;
};

/// Never destroyed: graphs may go when the process ends.
Ended& ended() {
  static Ended* const all = new Ended;
  return *all;
}

int let_go(void*) {
  std::vector<PyObject*> objects;
  {
    const std::lock_guard lock(ended().mutex);
    objects.swap(ended().objects);
  }
  for (PyObject* object : objects) Py_DECREF(object);
  return 0;
}

void end(void* object) {
  const std::lock_guard lock(ended().mutex);
  if (!ended().has_interpreter) return;
  ended().objects.push_back(static_cast<PyObject*>(object));
  Py_AddPendingCall(&let_go, nullptr);  // if too many wait, one of them takes this object along
}

void keep_with_graph(cuda::Stream stream, nb::object object) {
  let_go(nullptr);  // the main thread may be long in coming
  cuda::release_with_graph(stream, &end, object.release().ptr());
}

}  // namespace

void bind_cuda_graphs(nb::module_& m) {
  m.def("capture_id", &cuda::capture_id, nb::arg("stream"),
        "Number of the graph capture that the stream takes part in; 0 for none.");
  m.def("keep_with_graph", &keep_with_graph, nb::arg("stream"), nb::arg("object"),
        "Keep an object as long as there is the graph that the stream is being captured in, "
        "anything made of it, or a replay of that.");
  nb::module_::import_("atexit").attr("register")(nb::cpp_function([] {
    const std::lock_guard lock(ended().mutex);
    ended().has_interpreter = false;
  }));
}

}  // namespace gossamer::python
