#include "spatter/placement.h"

#include <array>
#include <charconv>
#include <deque>
#include <map>
#include <numeric>
#include <tuple>
#include <unordered_map>

#include "chance/rendezvous.h"

namespace spatter {

Shape shape_for(unsigned others) {
  Shape shape;
  shape.k = others < 4 ? 1 : std::min(others, stripe_k_max);
  shape.n = 3 * shape.k;
  shape.placed = others < 3 ? others : shape.n;
  shape.own_copy = others < 3;
  return shape;
}

unsigned fair_share_max(unsigned n, unsigned others) {
  return others == 0 ? 0 : (n + others - 1) / others;
}

std::uint32_t weight_of(std::uint64_t capacity_bytes) {
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(capacity_bytes >> 30, 1, std::uint64_t{1} << 20));
}

namespace {

/// The four bytes of a dotted IPv4 address.
std::optional<std::array<unsigned, 4>> parse_ipv4(std::string_view host) {
  std::array<unsigned, 4> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto dot = host.find('.');
    if ((dot == std::string_view::npos) != (i == 3)) return std::nullopt;
    const auto part = host.substr(0, dot);
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), bytes[i]);
    if (part.empty() || error != std::errc{} || end != part.data() + part.size() || bytes[i] > 255)
      return std::nullopt;
    host.remove_prefix(std::min(host.size(), part.size() + 1));
  }
  return bytes;
}

/// The first three groups of an IPv6 address; "::" may stand among them.
std::optional<std::array<unsigned, 3>> parse_ipv6_front(std::string_view host) {
  if (host.find(':') == std::string_view::npos) return std::nullopt;
  std::array<unsigned, 3> groups{};
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const auto part = host.substr(0, host.find(':'));
    if (part.empty()) break;  // "::": zeros follow
    const auto [end, error] =
        std::from_chars(part.data(), part.data() + part.size(), groups[i], 16);
    if (error != std::errc{} || end != part.data() + part.size() || groups[i] > 0xffff)
      return std::nullopt;
    host.remove_prefix(std::min(host.size(), part.size() + 1));
  }
  return groups;
}

/// Deals units (shards) to servers as a flow: from each person over each of his servers to that
/// server's network prefix. Every server joins one person to one prefix, so bounds on persons and
/// on prefixes are met exactly whenever they can be.
class Dealing {
 public:
  struct Server {
    unsigned person = 0;
    unsigned prefix = 0;
    unsigned room_max = 0;
  };

  Dealing(std::vector<Server> servers, unsigned persons, unsigned prefixes)
      : servers_(std::move(servers)), persons_(persons), prefixes_(prefixes) {}

  /// Gives out `count` units at most, one more to each server per round, in the servers' order; so
  /// the deal is as even as the bounds allow. Returns how many found a place.
  unsigned deal(unsigned count, unsigned per_server, unsigned per_person, unsigned per_prefix) {
    person_max_ = per_person;
    prefix_max_ = per_prefix;
    given_.assign(servers_.size(), 0);
    room_.assign(servers_.size(), 0);
    of_person_.assign(persons_, 0);
    of_prefix_.assign(prefixes_, 0);
    unsigned dealt = 0;
    for (unsigned round = 1; round <= per_server && dealt < count; ++round) {
      for (std::size_t i = 0; i < servers_.size() && dealt < count; ++i) {
        if (servers_[i].room_max < round) continue;
        room_[i] = round;
        if (augment(i)) ++dealt;
      }
    }
    return dealt;
  }

  const std::vector<unsigned>& given() const { return given_; }

 private:
  /// One more unit after server `opened` got more room. Any new path must use that server, so in
  /// the usual case looking at its own person and prefix is enough.
  bool augment(std::size_t opened) {
    const auto& server = servers_[opened];
    if (of_person_[server.person] < person_max_ && of_prefix_[server.prefix] < prefix_max_) {
      ++given_[opened];
      ++of_person_[server.person];
      ++of_prefix_[server.prefix];
      return true;
    }
    return augment_by_search();
  }

  /// Breadth first from all persons with room to any prefix with room; a server is crossed forward
  /// (one unit more) or backward (one unit less).
  bool augment_by_search() {
    constexpr int none = -1;
    std::vector<int> to_person(persons_, none), to_prefix(prefixes_, none);  // server it came by
    std::vector<bool> start(persons_, false);
    std::deque<std::pair<bool, unsigned>> queue;  // (is a prefix, number)
    std::vector<bool> seen_person(persons_, false), seen_prefix(prefixes_, false);
    for (unsigned p = 0; p < persons_; ++p) {
      if (of_person_[p] >= person_max_) continue;
      start[p] = seen_person[p] = true;
      queue.emplace_back(false, p);
    }
    while (!queue.empty()) {
      const auto [is_prefix, at] = queue.front();
      queue.pop_front();
      if (is_prefix && of_prefix_[at] < prefix_max_) {
        ++of_prefix_[at];
        unsigned prefix = at;
        while (true) {
          const int forward = to_prefix[prefix];
          ++given_[forward];
          const unsigned person = servers_[forward].person;
          if (start[person]) {
            ++of_person_[person];
            return true;
          }
          const int backward = to_person[person];
          --given_[backward];
          prefix = servers_[backward].prefix;
        }
      }
      for (std::size_t i = 0; i < servers_.size(); ++i) {
        const auto& server = servers_[i];
        if (!is_prefix && server.person == at && given_[i] < room_[i] &&
            !seen_prefix[server.prefix]) {
          seen_prefix[server.prefix] = true;
          to_prefix[server.prefix] = static_cast<int>(i);
          queue.emplace_back(true, server.prefix);
        } else if (is_prefix && server.prefix == at && given_[i] > 0 &&
                   !seen_person[server.person]) {
          seen_person[server.person] = true;
          to_person[server.person] = static_cast<int>(i);
          queue.emplace_back(false, server.person);
        }
      }
    }
    return false;
  }

  std::vector<Server> servers_;
  unsigned persons_;
  unsigned prefixes_;
  unsigned person_max_ = 0;
  unsigned prefix_max_ = 0;
  std::vector<unsigned> given_, room_, of_person_, of_prefix_;
};

/// The least bound in [low, high] for which `enough` holds; it holds for `high` and above some point.
template <class Enough>
unsigned least(unsigned low, unsigned high, Enough enough) {
  while (low < high) {
    const unsigned middle = low + (high - low) / 2;
    if (enough(middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

/// How many shards each of `servers` shall hold.
std::vector<unsigned> shares(std::vector<Dealing::Server> servers, unsigned persons,
                             unsigned prefixes, unsigned count) {
  const auto sum_at = [&](unsigned per_server) {
    unsigned sum = 0;
    for (const auto& server : servers) sum += std::min(per_server, server.room_max);
    return sum;
  };
  count = std::min(count, sum_at(count));
  const unsigned fair =
      std::max(1u, fair_share_max(count, static_cast<unsigned>(servers.size())));
  const unsigned per_server =
      least(fair, std::max(fair, count), [&](unsigned bound) { return sum_at(bound) >= count; });

  Dealing dealing(std::move(servers), persons, prefixes);
  const auto fits = [&](unsigned person, unsigned prefix) {
    return dealing.deal(count, per_server, person, prefix) == count;
  };
  if (fits(per_server, per_server)) return dealing.given();
  const unsigned person =
      least(per_server, count, [&](unsigned bound) { return fits(bound, count); });
  const unsigned prefix =
      least(per_server, count, [&](unsigned bound) { return fits(person, bound); });
  fits(person, prefix);
  return dealing.given();
}

struct Drawn {
  std::uint64_t distance;
  const Candidate* candidate;
};

/// The candidates in the order in which chance names them for a stripe.
std::vector<Drawn> drawn(const StripeId& stripe, const std::vector<Candidate>& candidates) {
  std::vector<Drawn> order;
  order.reserve(candidates.size());
  for (const auto& candidate : candidates)
    order.push_back({rendezvous_distance(stripe, candidate.server, candidate.weight), &candidate});
  std::sort(order.begin(), order.end(), [](const Drawn& a, const Drawn& b) {
    return std::tie(a.distance, a.candidate->server) < std::tie(b.distance, b.candidate->server);
  });
  return order;
}

}  // namespace

std::string network_prefix(const std::string& host) {
  if (const auto ipv4 = parse_ipv4(host)) {
    if ((*ipv4)[0] == 127) return {};
    return fmt::format("{}.{}.{}", (*ipv4)[0], (*ipv4)[1], (*ipv4)[2]);
  }
  if (const auto ipv6 = parse_ipv6_front(host)) {
    if ((*ipv6)[0] == 0) return {};  // ::1 and its like
    return fmt::format("{:x}:{:x}:{:x}", (*ipv6)[0], (*ipv6)[1], (*ipv6)[2]);
  }
  return {};
}

Assignment place(const StripeId& stripe, unsigned n, unsigned count,
                 const std::vector<Candidate>& candidates, const Assignment& present) {
  SPATTER_ASSERT(present.empty() || present.size() == n);
  count = std::min(count, n);
  Assignment result(n);
  if (candidates.empty()) return result;

  std::unordered_map<ServerId, unsigned> holds;
  for (const auto& holder : present)
    if (holder) ++holds[*holder];

  auto order = drawn(stripe, candidates);
  // In a large network only the nearest matter; enough of them that the bounds can still be met.
  const std::size_t nearest = std::max<std::size_t>(4 * std::size_t{n}, 64);
  if (order.size() > nearest) {
    auto rest = order.begin() + static_cast<std::ptrdiff_t>(nearest);
    order.erase(std::remove_if(rest, order.end(),
                               [&](const Drawn& d) { return !holds.contains(d.candidate->server); }),
                order.end());
  }

  std::map<PersonId, unsigned> persons;
  std::map<std::string, unsigned> prefixes;
  std::vector<Dealing::Server> servers;
  unsigned prefix_count = 0;
  for (const auto& [distance, candidate] : order) {
    Dealing::Server server;
    server.person =
        persons.try_emplace(candidate->person, static_cast<unsigned>(persons.size())).first->second;
    if (candidate->prefix.empty()) {
      server.prefix = prefix_count++;
    } else {
      const auto [at, fresh] = prefixes.try_emplace(candidate->prefix, prefix_count);
      if (fresh) ++prefix_count;
      server.prefix = at->second;
    }
    const auto held = holds.find(candidate->server);
    server.room_max = candidate->accepts ? count : held == holds.end() ? 0 : held->second;
    if (n <= 3) server.room_max = std::min(server.room_max, 1u);  // k = 1: the shards are identical
    servers.push_back(server);
  }
  auto share = shares(std::move(servers), static_cast<unsigned>(persons.size()), prefix_count, count);

  // What is held stays, up to the holder's share; the rest is dealt round by round, so that the
  // plain columns, which come first, lie with different servers.
  std::unordered_map<ServerId, std::size_t> place_of;
  for (std::size_t i = 0; i < order.size(); ++i) place_of[order[i].candidate->server] = i;
  for (std::size_t index = 0; index < present.size(); ++index) {
    if (!present[index]) continue;
    const auto at = place_of.find(*present[index]);
    if (at == place_of.end() || share[at->second] == 0) continue;
    --share[at->second];
    result[index] = present[index];
  }
  const auto left = [&] { return std::accumulate(share.begin(), share.end(), 0u); };
  std::size_t index = 0;
  for (unsigned rest = left(); rest > 0;) {
    for (std::size_t i = 0; i < order.size() && rest > 0; ++i) {
      if (share[i] == 0) continue;
      while (result[index]) ++index;
      result[index] = order[i].candidate->server;
      --share[i];
      --rest;
    }
  }
  return result;
}

bool PlacementCheck::as_drawn() const {
  return passed_over.empty() &&
         std::ranges::all_of(holders, [](const Holder& holder) { return holder.rank.has_value(); });
}

PlacementCheck check_placement(const StripeId& stripe, const std::vector<Candidate>& candidates,
                               const std::vector<ServerId>& holders) {
  const auto order = drawn(stripe, candidates);
  std::unordered_map<ServerId, std::size_t> rank_of;
  for (std::size_t i = 0; i < order.size(); ++i) rank_of[order[i].candidate->server] = i;
  PlacementCheck check;
  check.eligible = candidates.size();
  std::size_t end = 0;
  for (const ServerId& server : holders) {
    const auto at = rank_of.find(server);
    check.holders.push_back({server, at == rank_of.end() ? std::nullopt : std::optional(at->second)});
    if (at != rank_of.end()) end = std::max(end, at->second + 1);
  }
  for (std::size_t i = 0; i < end; ++i)
    if (std::ranges::find(holders, order[i].candidate->server) == holders.end())
      check.passed_over.push_back(order[i].candidate->server);
  return check;
}

}  // namespace spatter
