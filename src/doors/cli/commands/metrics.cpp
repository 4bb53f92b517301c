// spatter metrics: what a monitoring system wants to know, in the text format of Prometheus
// (https://prometheus.io/docs/instrumenting/exposition_formats/), for a textfile collector or a script.
#include "cli/context.h"

namespace spatter::doors {

namespace {

class Page {
 public:
  void begin(const char* name, const char* type, const char* help) {
    name_ = name;
    fmt::print("# HELP spatter_{} {}\n# TYPE spatter_{} {}\n", name, help, name, type);
  }
  /// What is not known is left out.
  void value(const Json& value, const char* label = nullptr, std::string_view of = {}) const {
    if (!value.is_number() && !value.is_boolean()) return;
    const double number = value.is_boolean() ? (value.get<bool>() ? 1.0 : 0.0) : value.get<double>();
    if (label) fmt::print("spatter_{}{{{}=\"{}\"}} {}\n", name_, label, of, number);
    else fmt::print("spatter_{} {}\n", name_, number);
  }
  void one(const char* name, const char* type, const char* help, const Json& number) {
    begin(name, type, help);
    value(number);
  }

 private:
  std::string name_;
};

void print_safety(Page& page, const Json& status) {
  page.begin("stripes", "gauge", "Own stripes by how safe they are with others.");
  for (const char* state : {"full", "safe", "at_risk", "lost"}) page.value(status["stripes"][state], "state", state);
  page.one("can_lose_servers", "gauge", "So many more servers may die, whichever, and nothing is lost.", status["can_lose"]);
  page.one("loss_probability_per_day", "gauge", "The chance that anything is lost within a day is at most this.",
           status["loss_per_day"]);
  page.one("departures_per_server_day", "gauge", "The chance that a server goes for good within a day, as measured.",
           status["departures_per_server_day"]);
  page.one("copies_min", "gauge", "Reachable shards over those needed, of the stripe with least.", status["copies_min"]);
  page.one("backlog_bytes", "gauge", "Bytes that are not safe with others yet.", status["backlog_bytes"]);
}

void print_machine(Page& page, const Json& status) {
  page.begin("servers", "gauge", "Servers of the network that are known here.");
  page.value(status["servers_total"], "state", "known");
  page.value(status["servers_up"], "state", "up");
  page.begin("used_bytes", "gauge", "Of each half of the drive.");
  for (const char* half : {"user", "server"}) page.value(status[std::string(half) + "_half"]["used"], "half", half);
  page.begin("limit_bytes", "gauge", "Of each half of the drive.");
  for (const char* half : {"user", "server"}) page.value(status[std::string(half) + "_half"]["limit"], "half", half);
  page.one("files", "gauge", "In the volume.", status["files"]);
  page.one("file_bytes", "gauge", "In the volume.", status["file_bytes"]);
}

void print_mending(Page& page, const Json& status, const Json& repair, const Json& audit) {
  page.one("repair_only", "gauge", "Whether the network does nothing but mend.", Json(status.value("mode", "") == "repair-only"));
  page.begin("kept_stripes", "gauge", "Stripes that this server helps to keep, by how much of them is left.");
  for (const char* danger : {"none", "tidy", "due", "urgent", "lost"}) page.value(repair[danger], "danger", danger);
  page.one("repair_waiting_stripes", "gauge", "Of these, to be rebuilt by somebody.", repair["waiting"]);
  page.one("repair_seconds_left", "gauge", "Until they are and the backlog is gone; left out while it is not known.",
           status["repair"]["seconds_left"]);
  page.one("repair_moved_bytes_total", "counter", "Read and sent by this server to rebuild shards.", repair["moved_bytes"]);
  page.one("repair_gathered_bytes", "gauge", "Fetched and kept until more of their stripes' holders are on.", repair["gathered_bytes"]);
  page.one("repair_rebuilt_bytes_total", "counter", "Of shards that this server has rebuilt.", repair["rebuilt_bytes"]);
  page.begin("audit_leaves_total", "counter", "Leaves that this server has asked others for, by what came.");
  for (const char* result : {"right", "wrong", "missing", "late"}) page.value(audit[result], "result", result);
}

Result<void> run_metrics(const Context& context) {
  stop_when_output_closes();
  TRY(auto client, context.connect());
  TRY(const auto status, client.request({{"op", "status"}}));
  TRY(const auto repair, client.request({{"op", "repair"}}));
  TRY(const auto audit, client.request({{"op", "audit"}}));
  Page page;
  print_safety(page, status);
  print_machine(page, status);
  print_mending(page, status, repair, audit);
  return {};
}

}  // namespace

void add_metrics(CLI::App& app, Context& context) {
  add_command(app, context, "metrics", "Figures for a monitoring system, in the text format of Prometheus",
              [&context] { return run_metrics(context); });
}

}  // namespace spatter::doors
