// The stripe code with each kernel against ISA-L's ec_encode_data given the same matrix, on one
// core, in one run; the ratios come at the end. Columns are allocated as the program does.
//
//   build/bench_code --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
#include <benchmark/benchmark.h>
#include <isa-l.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "code/stripe_code.h"

namespace {

using namespace spatter;

struct Shape {
  unsigned k;
  unsigned n;
};

constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// One set of columns for all: its memory is touched once, before anything is timed.
std::vector<Buffer>& columns() {
  static std::vector<Buffer> all = [] {
    std::vector<Buffer> result;
    std::mt19937_64 random(1);
    for (int i = 0; i < 48; ++i) {
      Buffer column = Buffer::allocate(mebibyte);
      for (std::size_t b = 0; b < mebibyte; b += 8) {
        const std::uint64_t word = random();
        std::memcpy(column.mutable_data() + b, &word, 8);
      }
      result.push_back(std::move(column));
    }
    return result;
  }();
  return all;
}

std::vector<const std::uint8_t*> inputs(unsigned k) {
  std::vector<const std::uint8_t*> result;
  for (unsigned i = 0; i < k; ++i) result.push_back(columns()[i].data());
  return result;
}
std::vector<std::uint8_t*> outputs(unsigned first, unsigned count) {
  std::vector<std::uint8_t*> result;
  for (unsigned i = 0; i < count; ++i) result.push_back(columns()[first + i].mutable_data());
  return result;
}

/// The rows of `want` in terms of `have`, by multiplying with unit vectors.
std::vector<unsigned char> matrix_of(const Rebuild& rebuild, unsigned k, unsigned rows) {
  std::vector<unsigned char> matrix(std::size_t{rows} * k);
  std::vector<std::uint8_t> in_bytes(k);
  std::vector<const std::uint8_t*> in(k);
  std::vector<std::uint8_t> out_bytes(rows);
  std::vector<std::uint8_t*> out(rows);
  for (unsigned j = 0; j < k; ++j) in[j] = &in_bytes[j];
  for (unsigned r = 0; r < rows; ++r) out[r] = &out_bytes[r];
  for (unsigned j = 0; j < k; ++j) {
    std::ranges::fill(in_bytes, 0);
    in_bytes[j] = 1;
    rebuild.run(in, out, 1);
    for (unsigned r = 0; r < rows; ++r) matrix[std::size_t{r} * k + j] = out_bytes[r];
  }
  return matrix;
}

void run_isal(benchmark::State& state, unsigned k, unsigned rows,
              const std::vector<unsigned char>& matrix, std::size_t bytes) {
  std::vector<unsigned char> tables(matrix.size() * 32);
  std::vector<unsigned char> copy = matrix;
  ec_init_tables(static_cast<int>(k), static_cast<int>(rows), copy.data(), tables.data());
  std::vector<unsigned char*> in = outputs(0, k);
  std::vector<unsigned char*> out = outputs(k, rows);
  for (auto _ : state) {
    ec_encode_data(static_cast<int>(bytes), static_cast<int>(k), static_cast<int>(rows),
                   tables.data(), in.data(), out.data());
    benchmark::ClobberMemory();
  }
}

std::vector<unsigned> first_columns(unsigned k) {
  std::vector<unsigned> result(k);
  std::iota(result.begin(), result.end(), 0);
  return result;
}

void encode(benchmark::State& state, Shape shape, std::size_t bytes, Kernel kernel) {
  const auto code = StripeCode::make(shape.k, shape.n, kernel).value();
  if (kernel == Kernel::isal) {
    std::vector<unsigned char> matrix;
    for (unsigned c = shape.k; c < shape.n; ++c)
      for (unsigned j = 0; j < shape.k; ++j) matrix.push_back(code.coefficient(c, j));
    run_isal(state, shape.k, shape.n - shape.k, matrix, bytes);
  } else {
    const auto in = inputs(shape.k);
    const auto out = outputs(shape.k, shape.n - shape.k);
    for (auto _ : state) {
      code.encode(in, out, bytes);
      benchmark::ClobberMemory();
    }
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * shape.k * bytes));
}

void rebuild(benchmark::State& state, Shape shape, std::size_t bytes, Kernel kernel,
             const std::vector<unsigned>& have) {
  const auto code = StripeCode::make(shape.k, shape.n, kernel).value();
  const auto all_plain = code.rebuild(have, first_columns(shape.k)).value();
  if (kernel == Kernel::isal) {
    run_isal(state, shape.k, shape.k, matrix_of(all_plain, shape.k, shape.k), bytes);
  } else {
    const auto in = inputs(shape.k);
    const auto out = outputs(shape.k, shape.k);
    for (auto _ : state) {
      all_plain.run(in, out, bytes);
      benchmark::ClobberMemory();
    }
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * shape.k * bytes));
}

/// The console's table, and after it how much faster than ISA-L each kernel was (medians).
class RatioReporter : public benchmark::ConsoleReporter {
 public:
  RatioReporter() : ConsoleReporter(OO_Tabular) {}

  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
      const std::string name = run.run_name.function_name;
      const auto split = name.rfind('/');
      times_[name.substr(0, split)][name.substr(split + 1)].push_back(run.GetAdjustedCPUTime());
    }
  }

  void Finalize() override {
    ConsoleReporter::Finalize();
    auto& out = GetOutputStream();
    for (auto& [operation, kernels] : times_) {
      const auto isal = kernels.find(isal_name());
      if (isal == kernels.end()) continue;
      out << operation << ":";
      for (auto& [kernel, times] : kernels)
        if (kernel != isal_name())
          out << "  " << kernel << " " << round2(median(isal->second) / median(times)) << "x";
      out << "  of " << isal_name() << "\n";
    }
  }

  static std::string isal_name() {
    return "isa-l-" + std::to_string(ISAL_MAJOR_VERSION) + "." +
           std::to_string(ISAL_MINOR_VERSION) + "." + std::to_string(ISAL_PATCH_VERSION);
  }

 private:
  static double median(std::vector<double>& times) {
    std::ranges::sort(times);
    return times[times.size() / 2];
  }
  static double round2(double value) {
    return static_cast<double>(static_cast<long>(value * 100 + 0.5)) / 100;
  }

  std::map<std::string, std::map<std::string, std::vector<double>>> times_;
};

template <class Body>
void add(const std::string& operation, Kernel kernel, Body body) {
  const std::string name =
      kernel == Kernel::isal ? RatioReporter::isal_name() : std::string(to_string(kernel));
  benchmark::RegisterBenchmark((operation + "/" + name).c_str(), body)
      ->Unit(benchmark::kMicrosecond);
}

std::string label(const char* what, Shape shape, std::size_t bytes) {
  return std::string(what) + "(" + std::to_string(shape.k) + "," + std::to_string(shape.n) + ")/" +
         std::to_string(bytes >> 10) + "KiB";
}

void register_all() {
  for (Shape shape : {Shape{4, 12}, {6, 18}, {7, 21}, {8, 24}, {16, 48}}) {
    // Whole columns of 1 MiB, and the unit of a stripe's row, as encode_stripe has it.
    for (std::size_t bytes : {mebibyte, mebibyte / 16}) {
      for (Kernel kernel : supported_kernels()) {
        if (kernel == Kernel::table) continue;
        add(label("encode", shape, bytes), kernel,
            [=](benchmark::State& state) { encode(state, shape, bytes, kernel); });
        // Coded columns of both thirds, and one whole third.
        std::vector<unsigned> mixed;
        for (unsigned i = 0; i < shape.k; ++i) mixed.push_back(shape.k + 2 * i);
        std::vector<unsigned> third = first_columns(shape.k);
        for (unsigned& index : third) index += shape.k;
        add(label("rebuild_mixed", shape, bytes), kernel,
            [=](benchmark::State& state) { rebuild(state, shape, bytes, kernel, mixed); });
        add(label("rebuild_third", shape, bytes), kernel,
            [=](benchmark::State& state) { rebuild(state, shape, bytes, kernel, third); });
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  columns();
  register_all();
  RatioReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
}
