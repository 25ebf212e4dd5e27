#include <expected>

#include <mpi.h>

// The version of MPI, if it can say one, and the architectures that this was built for.
std::expected<int, int> mpi_version() {
  int version = 0, minor = 0;
  if (MPI_Get_version(&version, &minor) != MPI_SUCCESS) return std::unexpected(1);
  return version;
}

extern "C" int backend_version() { return mpi_version().value_or(0); }
extern "C" const char *backend_archs() { return ARCHS; }
