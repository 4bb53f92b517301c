#include "schemes.h"

#include <algorithm>

#include "spatter/placement.h"

namespace spatter::sim::mend {

Danger Scheme::danger(unsigned standing) const {
  const Danger danger = danger_of(k, std::min(standing, 3 * k));
  if (danger == Danger::lost || danger == Danger::urgent) return danger;
  if (n == 3 * k && repair_at == rebuilt_at(k)) return danger;
  if (standing <= repair_at) return Danger::due;
  return standing < n ? Danger::tidy : Danger::none;
}

Result<Scheme> parse_scheme(const std::string& name) {
  if (name == "spatter") {
    const Shape shape = shape_for(stripe_k_max);  // or wider
    return Scheme{name, shape.k, shape.n, rebuilt_at(shape.k), shape.k, true, true};
  }
  if (name == "copies") return Scheme{name, 1, 3, 2, 0, false};
  if (name == "rs-10-30") return Scheme{name, 10, 30, 25, 10, false};
  if (name == "rs-29-80") return Scheme{name, 29, 80, 35, 29, false};
  return fail(Errc::invalid, "'{}' is no scheme: spatter, copies, rs-10-30 or rs-29-80", name);
}

}  // namespace spatter::sim::mend
