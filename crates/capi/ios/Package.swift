// swift-tools-version:5.5
import PackageDescription

// build.sh puts CParing.xcframework beside this. To publish, give the target an url and a checksum in place of the path.
let package = Package(
  name: "Paring",
  platforms: [.iOS(.v13)],
  products: [.library(name: "Paring", targets: ["Paring"])],
  targets: [
    .target(name: "Paring", dependencies: ["CParing"], resources: [.copy("PrivacyInfo.xcprivacy")]),
    .binaryTarget(name: "CParing", path: "CParing.xcframework"),
  ]
)
