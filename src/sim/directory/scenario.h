// `spatter-sim directory`: a network of the directory grows, is attacked while its servers come and
// go, and is asked for records; what comes of it is counted.
//
//   0:00 to 0:40  servers come one after the other, each knowing a few that are there
//   from 0:20     honest servers go, and others come, at the rate asked for
//   0:45 to 1:00  every honest server publishes its record; from 1:05 to 1:15 a newer version of it
//   1:20 to 2:00  look-ups, by servers drawn from all, of records drawn from all; upkeep's traffic
//
// Hostile servers never go away.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "hostile.h"

namespace spatter::sim::directory {

struct DirectoryScenario {
  std::uint32_t servers = 10'000;     ///< up at any time
  double hostile = 0;                 ///< share of these
  double bad_persons = 0.05;          ///< share of persons that own the hostile ones
  double churn_per_hour = 0;          ///< share of the honest ones replaced
  std::uint32_t lookups = 5'000;
  std::uint64_t seed = 1;
  bool plain = false;
  Attack attack = Attack::mix;
  std::uint32_t attackers = 200;      ///< eclipse: servers,
  std::uint32_t attacker_persons = 50;  ///< and whose
  bool grind = false;                 ///< eclipse: persons who may draw for each other choose where they stand
  std::uint32_t sybils = 0;           ///< servers of one more person, honest in all but their number
};

struct DirectoryFigures {
  std::uint32_t lookups = 0, found = 0, stale = 0, missed = 0;
  double success = 0;
  std::size_t hops_p50 = 0, hops_p99 = 0;
  double hops_mean = 0;
  double queries_mean = 0, rounds_mean = 0;
  std::size_t queries_p50 = 0, queries_p99 = 0;
  double bytes_per_server_s = 0;    ///< upkeep and republishing, sent and received, while idle
  double upkeep_bytes_s = 0, republish_bytes_s = 0;
  double bytes_per_lookup = 0;
  double memory_per_server = 0;     ///< all directory state of one server
  double memory_per_record = 0;     ///< of one known server
  double contacts_per_server = 0;
  double hostile_contacts = 0, gone_contacts = 0;  ///< shares of the contacts
  double network_size_p5 = 0, network_size_p50 = 0, network_size_p95 = 0;
  double check_minutes_p50 = 0;
  double holders_mean = 0;          ///< honest servers that are up and have the newest version
  std::uint32_t holders_least = 0;
  std::uint32_t attackers = 0;        ///< eclipse: servers that have a place at all
  std::uint32_t ground_places = 0;    ///< grind: attackers' persons who could choose one
  std::uint32_t ground_servers = 0;   ///< and their servers that stand next to the record
  std::uint32_t sybil_places_max = 0;  ///< of one record's, of the person with `sybils`
  std::uint64_t questions = 0;
};

DirectoryFigures run_directory(const DirectoryScenario& scenario);

Result<Attack> parse_attack(const std::string& text);

}  // namespace spatter::sim::directory
