// The processes that `mpirun` started.
#pragma once

#include <memory>

#include "calib/processes.h"

namespace paro::calib {

/// Starts MPI for the lifetime of the result, once in a program's life. When that ends by an exception, MPI is left
/// running: the launcher then stops the other processes, which would wait for this one.
std::unique_ptr<Processes> make_mpi_processes();

}  // namespace paro::calib
