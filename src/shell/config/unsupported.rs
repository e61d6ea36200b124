//! What can be written down but is not built yet: refused, so that nobody believes it is in force.
//!
//! The one place to shorten when a feature lands.

use super::errors::ConfigError;
use super::places::Places;
use super::sections::Config;

/// Tells whether a configuration asks for a feature.
type Asks = fn(&Config) -> bool;

/// The keys of features that this version does not have.
const NOT_YET: [(&str, Asks); 2] = [
    ("normalize", |config| !config.normalize.is_empty()),
    ("telemetry.otlp_endpoint", |config| config.telemetry.otlp_endpoint.is_some()),
];

/// Returns one mistake for each feature that `config` asks for and this version does not have.
pub(super) fn unsupported(config: &Config, places: &Places) -> Vec<ConfigError> {
    let asked = NOT_YET.iter().filter(|(_, asks)| asks(config));
    asked.map(|(key, _)| places.error(key, "is not supported by this version yet: leave it out".to_owned())).collect()
}
