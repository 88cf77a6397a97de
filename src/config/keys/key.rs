// SPDX-License-Identifier: MIT
//! The names of the keys, with one constant for each. Only this module can create a [`KeyName`], so
//! that a misspelt key does not compile. Pure.

use std::fmt;
use std::ops::Deref;

/// The name of a key, as it is written before the `=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(&'static str);

impl KeyName {
    /// The name as text.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.0
    }
}

impl Deref for KeyName {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl PartialEq<str> for KeyName {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for KeyName {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<String> for KeyName {
    fn eq(&self, other: &String) -> bool {
        self.0 == other
    }
}

/// Declares the constants, and a list of them for tests.
macro_rules! key_names {
    ($($constant:ident = $text:literal)*) => {
        $(
            #[doc = concat!("`", $text, "=`")]
            pub const $constant: KeyName = KeyName($text);
        )*

        /// All names of keys, each with the name of its constant.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, KeyName)] = &[$((stringify!($constant), $constant)),*];
    };
}

key_names! {
    ADD_CAPABILITY = "AddCapability"
    ADD_DEVICE = "AddDevice"
    ADD_HOST = "AddHost"
    ALL_TAGS = "AllTags"
    ANNOTATION = "Annotation"
    APP = "App"
    APP_ARMOR = "AppArmor"
    ARCH = "Arch"
    AUTH_FILE = "AuthFile"
    AUTO_UPDATE = "AutoUpdate"
    BASE = "Base"
    BASE_FS = "BaseFs"
    CACHE_SIZE = "CacheSize"
    CERT_DIR = "CertDir"
    CGROUPS_MODE = "CgroupsMode"
    CONTAINER_NAME = "ContainerName"
    CONTAINERS_CONF_MODULE = "ContainersConfModule"
    COPY = "Copy"
    CREDS = "Creds"
    DNS = "DNS"
    DNS_OPTION = "DNSOption"
    DNS_SEARCH = "DNSSearch"
    DECRYPTION_KEY = "DecryptionKey"
    DEFAULT_INSTANCE = "DefaultInstance"
    DEVICE = "Device"
    DISABLE_DNS = "DisableDNS"
    DRIVER = "Driver"
    DROP_CAPABILITY = "DropCapability"
    ENTRYPOINT = "Entrypoint"
    ENVIRONMENT = "Environment"
    ENVIRONMENT_FILE = "EnvironmentFile"
    ENVIRONMENT_HOST = "EnvironmentHost"
    EXEC = "Exec"
    EXIT_POLICY = "ExitPolicy"
    EXPOSE_HOST_PORT = "ExposeHostPort"
    GID = "GID"
    GID_MAP = "GIDMap"
    GATEWAY = "Gateway"
    GLOBAL_ARGS = "GlobalArgs"
    GROUP = "Group"
    GROUP_ADD = "GroupAdd"
    HARDENED = "Hardened"
    HEALTH_CMD = "HealthCmd"
    HEALTH_HTTP = "HealthHttp"
    HEALTH_INTERVAL = "HealthInterval"
    HEALTH_LOG_DESTINATION = "HealthLogDestination"
    HEALTH_MAX_LOG_COUNT = "HealthMaxLogCount"
    HEALTH_MAX_LOG_SIZE = "HealthMaxLogSize"
    HEALTH_ON_FAILURE = "HealthOnFailure"
    HEALTH_RETRIES = "HealthRetries"
    HEALTH_START_PERIOD = "HealthStartPeriod"
    HEALTH_STARTUP_CMD = "HealthStartupCmd"
    HEALTH_STARTUP_HTTP = "HealthStartupHttp"
    HEALTH_STARTUP_INTERVAL = "HealthStartupInterval"
    HEALTH_STARTUP_RETRIES = "HealthStartupRetries"
    HEALTH_STARTUP_SUCCESS = "HealthStartupSuccess"
    HEALTH_STARTUP_TCP = "HealthStartupTcp"
    HEALTH_STARTUP_TIMEOUT = "HealthStartupTimeout"
    HEALTH_TCP = "HealthTcp"
    HEALTH_TIMEOUT = "HealthTimeout"
    HOST_NAME = "HostName"
    HTTP_PROXY = "HttpProxy"
    IP = "IP"
    IP6 = "IP6"
    IPAM_DRIVER = "IPAMDriver"
    IP_RANGE = "IPRange"
    IPV6 = "IPv6"
    IMAGE = "Image"
    IMAGE_TAG = "ImageTag"
    IMPORT_TIMEOUT = "ImportTimeout"
    INSECURE = "Insecure"
    INSTALL_ARCH = "InstallArch"
    INSTALL_DEBIAN = "InstallDebian"
    INSTALL_FEDORA = "InstallFedora"
    INSTALL_PACKAGES = "InstallPackages"
    INSTALL_SUSE = "InstallSuse"
    INTERFACE_NAME = "InterfaceName"
    INTERNAL = "Internal"
    KEEP_VERSIONS = "KeepVersions"
    LABEL = "Label"
    LOG_DRIVER = "LogDriver"
    LOG_OPT = "LogOpt"
    MASK = "Mask"
    MEMORY = "Memory"
    MIRROR = "Mirror"
    MODE = "Mode"
    MOUNT = "Mount"
    NETWORK = "Network"
    NETWORK_ALIAS = "NetworkAlias"
    NETWORK_DELETE_ON_STOP = "NetworkDeleteOnStop"
    NETWORK_NAME = "NetworkName"
    NETWORK_RANGE = "NetworkRange"
    NO_NEW_PRIVILEGES = "NoNewPrivileges"
    NOTIFY = "Notify"
    OS = "OS"
    OCI_POD = "OciPod"
    OPTIONS = "Options"
    PIDS_LIMIT = "PidsLimit"
    POD = "Pod"
    POD_NAME = "PodName"
    PODMAN_ARGS = "PodmanArgs"
    POLICY = "Policy"
    PUBLISH_MODE = "PublishMode"
    PUBLISH_PORT = "PublishPort"
    PULL = "Pull"
    READ_ONLY = "ReadOnly"
    READ_ONLY_TMPFS = "ReadOnlyTmpfs"
    RELOAD_CMD = "ReloadCmd"
    RELOAD_SIGNAL = "ReloadSignal"
    REMAP_GID = "RemapGid"
    REMAP_UID = "RemapUid"
    REMAP_UID_SIZE = "RemapUidSize"
    REMAP_USERS = "RemapUsers"
    RETRY = "Retry"
    RETRY_DELAY = "RetryDelay"
    ROOTFS = "Rootfs"
    RUN_INIT = "RunInit"
    SECCOMP_PROFILE = "SeccompProfile"
    SECRET = "Secret"
    SECURITY_LABEL_DISABLE = "SecurityLabelDisable"
    SECURITY_LABEL_FILE_TYPE = "SecurityLabelFileType"
    SECURITY_LABEL_LEVEL = "SecurityLabelLevel"
    SECURITY_LABEL_NESTED = "SecurityLabelNested"
    SECURITY_LABEL_TYPE = "SecurityLabelType"
    SERVICE_NAME = "ServiceName"
    SHM_SIZE = "ShmSize"
    START_ON_DEMAND = "StartOnDemand"
    START_WITH_POD = "StartWithPod"
    STOP_SIGNAL = "StopSignal"
    STOP_TIMEOUT = "StopTimeout"
    STOP_WHEN_IDLE = "StopWhenIdle"
    STRICT = "Strict"
    SUB_GID_MAP = "SubGIDMap"
    SUB_UID_MAP = "SubUIDMap"
    SUBNET = "Subnet"
    SYSCTL = "Sysctl"
    SYSTEM_CALL_FILTER = "SystemCallFilter"
    TLS_VERIFY = "TLSVerify"
    TIMEZONE = "Timezone"
    TMPFS = "Tmpfs"
    TYPE = "Type"
    UID = "UID"
    UID_MAP = "UIDMap"
    ULIMIT = "Ulimit"
    UNMASK = "Unmask"
    UPDATE_SETTLE = "UpdateSettle"
    UPDATE_SNAPSHOT = "UpdateSnapshot"
    UPLINK_RANGE = "UplinkRange"
    USER = "User"
    USER_NS = "UserNS"
    VARIANT = "Variant"
    VERIFY_IDENTITY = "VerifyIdentity"
    VERIFY_KEY = "VerifyKey"
    VOLATILE_TMP = "VolatileTmp"
    VOLUME = "Volume"
    VOLUME_NAME = "VolumeName"
    WORKING_DIR = "WorkingDir"
}
