// Documents of strangers, without the danger of nesting: nlohmann's parsers recurse, so a document of
// a thousand brackets would use up the stack.
//
//   Json document;
//   ShallowJson<8> parser(document);
//   if (!Json::sax_parse(begin, end, &parser, format)) ...   // refused, or not well formed
//
// Builds the document, which is valid when sax_parse has returned true.
#pragma once

#include <nlohmann/json.hpp>

namespace spatter {

template <int depth_max>
class ShallowJson : public nlohmann::detail::json_sax_dom_parser<nlohmann::json> {
  using Base = nlohmann::detail::json_sax_dom_parser<nlohmann::json>;

 public:
  explicit ShallowJson(nlohmann::json& result) : Base(result, false) {}
  bool start_object(std::size_t size) { return ++depth_ <= depth_max && Base::start_object(size); }
  bool start_array(std::size_t size) { return ++depth_ <= depth_max && Base::start_array(size); }
  bool end_object() { return --depth_, Base::end_object(); }
  bool end_array() { return --depth_, Base::end_array(); }

 private:
  int depth_ = 0;
};

}  // namespace spatter
